// The standard normal distribution.

const density = (z) => Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI);

/** P(Z <= z), by its series around 0; beyond 8 it is 0 or 1. */
export function cdf(z) {
  if (Math.abs(z) > 8) return z < 0 ? 0 : 1;
  let [sum, term] = [0, z];
  for (let odd = 3; Math.abs(term) > 1e-17; odd += 2) {
    sum += term;
    term *= (z * z) / odd;
  }
  return 0.5 + sum * density(z);
}

/** The z with P(Z <= z) = p, for p in 1e-6..1 - 1e-6. From 0, Newton's steps never go past it. */
export function quantile(p) {
  let z = 0;
  for (let step = 1; Math.abs(step) > 1e-10; z += step) step = (p - cdf(z)) / density(z);
  return z;
}
