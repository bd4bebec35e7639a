// Principal components: the plane in which points in many dimensions vary most.

/**
 * The two principal components of rows (N, Z), N at least 2, a Float32Array.
 *
 * Returns: {centre (Z,), directions: two unit vectors (Z,), share: what part of the variance the two keep, 0..1}. The
 * largest entry of a direction is positive, so that the plane does not flip from one time to the next.
 */
export function principalPlane(rows, size) {
  const count = rows.length / size;
  const centre = new Float64Array(size);
  rows.forEach((value, i) => (centre[i % size] += value / count));
  const covariance = Array.from({length: size}, () => new Float64Array(size));
  for (let n = 0; n < count; n += 1) {
    for (let i = 0; i < size; i += 1) {
      const away = rows[n * size + i] - centre[i];
      for (let j = 0; j <= i; j += 1) covariance[i][j] += (away * (rows[n * size + j] - centre[j])) / count;
    }
  }
  for (let i = 0; i < size; i += 1) for (let j = 0; j < i; j += 1) covariance[j][i] = covariance[i][j];
  const {values, vectors} = eigen(covariance);
  const order = [...values.keys()].sort((a, b) => values[b] - values[a]);
  const total = values.reduce((a, b) => a + b, 0);
  const directions = [0, 1].map((k) => (k < size ? upright(vectors[order[k]]) : new Float64Array(size)));
  const kept = order.slice(0, 2).reduce((sum, k) => sum + values[k], 0);
  return {centre, directions, share: total > 0 ? kept / total : 1};
}

/** Where a point z (Z,) lies in the plane: [x, y]. */
export function project({centre, directions}, z) {
  return directions.map((d) => d.reduce((sum, value, i) => sum + value * (z[i] - centre[i]), 0));
}

/** The point (Z,) at [x, y] of the plane. */
export function place({centre, directions: [first, second]}, [x, y]) {
  return Float32Array.from(centre, (value, i) => value + x * first[i] + y * second[i]);
}

/** The covariance, in the plane, of independent dimensions of some variances (Z,): [[a, b], [b, c]]. */
export function planeCovariance({directions}, variance) {
  return directions.map((d) => directions.map((e) => variance.reduce((sum, v, i) => sum + v * d[i] * e[i], 0)));
}

function upright(vector) {
  const largest = vector.reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a));
  return largest < 0 ? vector.map((value) => -value) : vector;
}

/** Eigenvalues and unit eigenvectors of a symmetric matrix, by Jacobi's rotations (Golub & Van Loan, section 8.5). */
function eigen(symmetric) {
  const a = symmetric.map((row) => Float64Array.from(row));
  const size = a.length;
  const vectors = a.map((_, i) => Float64Array.from({length: size}, (_, j) => (i === j ? 1 : 0)));
  const scale = a.reduce((sum, row) => sum + row.reduce((s, value) => s + value * value, 0), 0);
  const off = () => a.reduce((sum, row, i) => sum + row.reduce((s, value, j) => (i === j ? s : s + value * value), 0), 0);
  for (let sweep = 0; sweep < 50 && off() > 1e-22 * scale; sweep += 1) {
    for (let p = 0; p < size; p += 1) for (let q = p + 1; q < size; q += 1) rotate(a, vectors, p, q);
  }
  return {values: a.map((row, i) => row[i]), vectors};
}

/** The rotation of p and q that makes a[p][q] zero; the vectors turn with it. */
function rotate(a, vectors, p, q) {
  if (a[p][q] === 0) return;
  const tau = (a[q][q] - a[p][p]) / (2 * a[p][q]);
  const t = (tau < 0 ? -1 : 1) / (Math.abs(tau) + Math.hypot(1, tau));
  const c = 1 / Math.hypot(1, t);
  const s = t * c;
  for (const row of a) [row[p], row[q]] = [c * row[p] - s * row[q], s * row[p] + c * row[q]];
  for (const rows of [a, vectors]) {
    const [up, uq] = [rows[p], rows[q]];
    rows[p] = up.map((value, i) => c * value - s * uq[i]);
    rows[q] = up.map((value, i) => s * value + c * uq[i]);
  }
}
