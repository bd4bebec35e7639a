// Which points lie nearest.

/** The `count` rows of (N, Z) nearest to z (Z,), as [{index, distance}], nearest first; `except` is left out. */
export function nearest(rows, z, count, except = -1) {
  const size = z.length;
  const found = [];
  for (let n = 0; n * size < rows.length; n += 1) {
    if (n === except) continue;
    let square = 0;
    for (let i = 0; i < size; i += 1) square += (rows[n * size + i] - z[i]) ** 2;
    if (found.length === count && square >= found[count - 1].square) continue;
    const at = found.findIndex((one) => one.square > square);
    found.splice(at < 0 ? found.length : at, 0, {index: n, square});
    found.length = Math.min(found.length, count);
  }
  return found.map(({index, square}) => ({index, distance: Math.sqrt(square)}));
}
