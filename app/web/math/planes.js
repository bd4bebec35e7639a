// From latents to a place on a square picture and back: [0, 0] is its lower left corner, [1, 1] its upper right.

import {cdf, quantile} from "./normal.js";

const EDGE = 0.001; // how near to the edge, which is at infinity, a point of the prior's plane can be read

/** The plane of a standard normal prior: equal areas are equally probable, and codes that follow it fill it evenly. */
export const priorPlane = {
  ticks: [-2, -1, 0, 1, 2],
  toUnit: (z) => z.map(cdf),
  toLatent: (unit) => unit.map((u) => quantile(Math.min(1 - EDGE, Math.max(EDGE, u)))),
};

/** The plane around points [[x, y], …], in equal units along both axes, with some room around them. */
export function evenPlane(points) {
  const [xs, ys] = [0, 1].map((k) => points.map((point) => point[k]));
  const middle = [xs, ys].map((values) => (low(values) + high(values)) / 2);
  const reach = 1.08 * Math.max(...[xs, ys].map((values) => (high(values) - low(values)) / 2)) || 1;
  return {
    ticks: evenTicks(middle, reach),
    toUnit: (z) => z.map((value, k) => (value - middle[k] + reach) / (2 * reach)),
    toLatent: (unit) => unit.map((u, k) => u * 2 * reach + middle[k] - reach),
  };
}

/** Whole steps of 1, 2 or 5 times a power of ten that both axes have, from five to a dozen. */
function evenTicks(middle, reach) {
  const power = 10 ** Math.floor(Math.log10(reach));
  const step = [1, 2, 5].map((n) => (n * power) / 2).findLast((s) => s <= reach / 2) ?? power / 2;
  const most = Math.floor((Math.max(...middle.map(Math.abs)) + reach) / step);
  return Array.from({length: 2 * most + 1}, (_, i) => Number(((i - most) * step).toPrecision(6)));
}

const low = (values) => values.reduce((a, b) => Math.min(a, b));
const high = (values) => values.reduce((a, b) => Math.max(a, b));
