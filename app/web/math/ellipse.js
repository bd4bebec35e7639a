// What a Gaussian in the plane looks like.

/**
 * The points [x, y] at `sigmas` standard deviations around the mean of N(mean, covariance): an ellipse, closed.
 *
 * mean: [x, y]; covariance: [[a, b], [b, c]], positive semidefinite.
 */
export function outline(mean, [[a, b], [, c]], sigmas, count = 72) {
  const across = Math.sqrt(a); // Cholesky: covariance = L L^T, and L of a circle is the ellipse
  const along = across > 0 ? b / across : 0;
  const rest = Math.sqrt(Math.max(0, c - along * along));
  return Array.from({length: count + 1}, (_, i) => {
    const [cosine, sine] = [Math.cos((2 * Math.PI * i) / count), Math.sin((2 * Math.PI * i) / count)];
    return [mean[0] + sigmas * across * cosine, mean[1] + sigmas * (along * cosine + rest * sine)];
  });
}
