// What a latent is measured against: the mean and the standard deviation of each, before any digit is seen.
//
// Where the prior is N(0, I), that. A normalizing flow has no such numbers to read: there they are those of draws from it.
// A deterministic autoencoder has no prior at all: there they are those of the codes of real digits.

import {isTooMuch} from "./api.js";
import {testDigits} from "./digit.js";
import {normal} from "./math/random.js";

const DRAWS = 200; // and digits
const known = new Map(); // by checkpoint: what was found once holds

/** -> Promise of {mean, sigma: Float32Array (Z), of: "normal" | "draws" | "digits", count}. */
export function priorOf(card, api) {
  if (!known.has(card.sha256)) {
    const finding = find(card, api);
    known.set(card.sha256, finding);
    finding.catch(() => known.delete(card.sha256));
  }
  return known.get(card.sha256);
}

async function find(card, api) {
  if (card.prior?.kind === "standard-normal") {
    return {mean: new Float32Array(card.latents), sigma: new Float32Array(card.latents).fill(1), of: "normal"};
  }
  if (card.generative) {
    const {count, latents} = await draws(api, DRAWS);
    return {...moments(latents, card.latents), of: "draws", count};
  }
  const digits = (await testDigits()).slice(0, DRAWS);
  const pixels = new Float32Array(digits.length * 784);
  digits.forEach((digit, i) => pixels.set(digit.pixels, i * 784));
  const {mean} = await api.encode(pixels);
  return {...moments(mean, card.latents), of: "digits", count: digits.length};
}

/** So many, or as many as the service draws at once. */
async function draws(api, count) {
  try {
    return {count, ...await api.sample({count, seed: 0})};
  } catch (error) {
    if (count < 4 || !isTooMuch(error)) throw error;
    return draws(api, count >> 1);
  }
}

/** Mean and standard deviation of each column of (N, Z). */
function moments(rows, width) {
  const count = rows.length / width;
  const mean = new Float32Array(width);
  const sigma = new Float32Array(width);
  for (let k = 0; k < width; k++) {
    let sum = 0;
    for (let i = 0; i < count; i++) sum += rows[i * width + k];
    mean[k] = sum / count;
    let squares = 0;
    for (let i = 0; i < count; i++) squares += (rows[i * width + k] - mean[k]) ** 2;
    sigma[k] = Math.sqrt(squares / (count - 1)) || 1;
  }
  return {mean, sigma};
}

/** KL(N(mean, variance) || N(prior.mean, prior.sigma^2)) of each latent, in nats. Kingma & Welling 2014, appendix B. */
export function klByLatent({mean, variance}, prior) {
  return Float32Array.from(mean, (m, k) => {
    const ratio = variance[k] / prior.sigma[k] ** 2;
    return 0.5 * (ratio + ((m - prior.mean[k]) / prior.sigma[k]) ** 2 - 1 - Math.log(ratio));
  });
}

/** Draws from N(mean, variance), of a seed: Float32Array (count * Z). */
export function drawFrom({mean, variance}, count, seed) {
  const epsilon = normal(seed);
  return Float32Array.from({length: count * mean.length}, (_, i) => {
    const k = i % mean.length;
    return mean[k] + Math.sqrt(variance[k]) * epsilon();
  });
}
