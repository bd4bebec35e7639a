// The two corruptions that a denoising autoencoder is trained to undo (Vincent et al. 2008), and how much they leave.
//
// A seed fixes the noise and an amount scales it: as the amount grows, the same specks grow.

import {normal, uniform} from "./random.js";

/** x + sigma * epsilon, clipped to 0..1, for pixels x (D,). */
export function gaussian(x, sigma, seed) {
  const epsilon = normal(seed);
  return x.map((value) => Math.min(1, Math.max(0, value + sigma * epsilon())));
}

/** x with every pixel set to 0 with the probability `share`. */
export function masking(x, share, seed) {
  const draw = uniform(seed);
  return x.map((value) => (draw() < share ? 0 : value));
}

/** The mean over pixels of the squared difference of two images (D,). */
export function squaredError(x, y) {
  return x.reduce((sum, value, i) => sum + (value - y[i]) ** 2, 0) / x.length;
}
