// From latents to a place on a square picture and back: [0, 0] is its lower left corner, [1, 1] its upper right.

import {cdf, quantile} from "./normal.js";

const EDGE = 0.001; // how near to the edge, which is at infinity, a point of the prior's plane can be read

/** The plane of a standard normal prior: equal areas are equally probable, and codes that follow it fill it evenly. */
export const priorPlane = {
  toUnit: (z) => z.map(cdf),
  toLatent: (unit) => unit.map((u) => quantile(Math.min(1 - EDGE, Math.max(EDGE, u)))),
};

/** The plane around points [[x, y], …], in equal units along both axes, with some room around them. */
export function evenPlane(points) {
  const [xs, ys] = [0, 1].map((k) => points.map((point) => point[k]));
  const middle = [xs, ys].map((values) => (low(values) + high(values)) / 2);
  const reach = 1.08 * Math.max(...[xs, ys].map((values) => (high(values) - low(values)) / 2)) || 1;
  return {
    toUnit: (z) => z.map((value, k) => (value - middle[k] + reach) / (2 * reach)),
    toLatent: (unit) => unit.map((u, k) => u * 2 * reach + middle[k] - reach),
  };
}

/** Round numbers between two, evenly spaced, four to ten of them. */
export function ticksBetween(first, last) {
  const power = 10 ** Math.floor(Math.log10(last - first));
  const step = [0.1, 0.2, 0.5, 1].map((n) => n * power).findLast((size) => (last - first) / size >= 4);
  const from = Math.ceil(first / step);
  return Array.from({length: Math.floor(last / step) - from + 1}, (_, i) => Number(((from + i) * step).toPrecision(6)));
}

const low = (values) => values.reduce((a, b) => Math.min(a, b));
const high = (values) => values.reduce((a, b) => Math.max(a, b));
