// One latent: a slider over the prior's ±4 sigma, below the digits that its positions decode to.

import {h, number, svg} from "../dom.js";
import {nth} from "./tile.js";

export const REACH = 4; // sigma of the prior, to either side
export const STOPS = 9; // digits of the strip: at -4, -3, …, 4 sigma

/**
 * k: which latent; prior: {mean, sigma} of it; posterior: {mean, sigma} of it, sigma null of a deterministic model;
 * weight: text, how much it says. `onMove(value, settled)` is called while it moves, and when it is let go.
 * Returns {element, k, set(value), stops: the values of the strip, drawStrip(pixels)}.
 */
export function latentRow({k, prior, posterior, weight, onMove}) {
  const lowest = prior.mean - REACH * prior.sigma;
  const length = 2 * REACH * prior.sigma;
  const stops = Array.from({length: STOPS}, (_, i) => lowest + (length * i) / (STOPS - 1));
  const about = posterior.sigma === null
    ? `${number(posterior.mean)}`
    : `${number(posterior.mean)} ± ${number(posterior.sigma)}`;
  const strip = h("canvas", {class: "traversal", width: STOPS * 28, height: 28, "aria-hidden": "true"});
  const slider = h("input", {
    type: "range", class: "place", min: lowest, max: lowest + length, step: length / 400, "aria-label": `Latent ${k}, its mean ${about}`,
    oninput: () => moved(false), onchange: () => moved(true),
  });
  const value = h("span", {class: "value"}); // no output: a slider tells its own value
  const densities = svg("svg", {class: "densities", viewBox: "0 0 100 1", preserveAspectRatio: "none", "aria-hidden": "true"},
    svg("path", {class: "before", d: hill(0, 1)}),
    svg("path", {class: "after", d: hill((posterior.mean - prior.mean) / prior.sigma, (posterior.sigma ?? 0) / prior.sigma)}));
  strip.addEventListener("click", (event) => {
    const box = strip.getBoundingClientRect();
    set(stops[Math.min(Math.floor(((event.clientX - box.left) / box.width) * STOPS), STOPS - 1)]);
    moved(true);
  });
  const element = h("li", {class: "latent"},
    h("div", {class: "name"}, h("span", {}, `z${subscript(k)}`), h("span", {class: "caption"}, weight)),
    h("div", {class: "way"}, strip, h("div", {class: "track"}, densities, slider)),
    h("div", {class: "numbers"}, value, h("span", {class: "caption"}, about)));

  function moved(settled) {
    told(Number(slider.value));
    onMove(Number(slider.value), settled);
  }

  function set(at) {
    slider.value = at;
    told(at);
  }

  function told(at) {
    value.textContent = number(at);
    slider.setAttribute("aria-valuetext", number(at));
  }

  return {
    element, k, stops, set,
    drawStrip(pixels) {
      const context = strip.getContext("2d");
      const image = context.createImageData(28 * STOPS, 28);
      const words = new Uint32Array(image.data.buffer);
      for (let i = 0; i < STOPS; i++) {
        nth(pixels, i).forEach((value, p) => {
          const level = Math.round(value * 255);
          words[Math.floor(p / 28) * 28 * STOPS + i * 28 + (p % 28)] = 0xff000000 | (level << 16) | (level << 8) | level;
        });
      }
      context.putImageData(image, 0, 0);
    },
  };
}

/** A normal density over ±REACH, as a path in a box of 100 x 1. The wide are drawn lower; without a width it is a tick. */
function hill(mean, sigma) {
  const width = Math.max(sigma, 0.02);
  const height = Math.min(0.55 * width ** -0.25, 1);
  const points = [];
  for (let i = -40; i <= 40; i++) {
    const at = mean + (width * i) / 10;
    const x = Math.min(Math.max((50 * (at + REACH)) / REACH, 0), 100);
    points.push(`${x.toFixed(3)} ${(1 - height * Math.exp(-((i / 10) ** 2) / 2)).toFixed(4)}`);
  }
  return `M${points[0].split(" ")[0]} 1L${points.join("L")}L${points.at(-1).split(" ")[0]} 1Z`;
}

function subscript(k) {
  return String(k).replace(/\d/g, (digit) => "₀₁₂₃₄₅₆₇₈₉"[digit]);
}
