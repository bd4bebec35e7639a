// The playground's arithmetic, against closed forms. `node --test tests/web`

import assert from "node:assert/strict";
import {test} from "node:test";

import {outline} from "../../app/web/math/ellipse.js";
import {nearest} from "../../app/web/math/neighbours.js";
import {gaussian, masking, squaredError} from "../../app/web/math/noise.js";
import {cdf, quantile} from "../../app/web/math/normal.js";
import {place, planeCovariance, principalPlane, project} from "../../app/web/math/pca.js";
import {evenPlane, priorPlane, ticksBetween} from "../../app/web/math/planes.js";
import {normal, uniform} from "../../app/web/math/random.js";

const near = (found, expected, tolerance = 1e-9) =>
  assert.ok(Math.abs(found - expected) <= tolerance, `expected ${expected} to ${tolerance}, found ${found}`);
const draws = (draw, count) => Float32Array.from({length: count}, draw);
const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;

test("the normal distribution has its tabulated values, and its quantiles undo it", () => {
  for (const [z, p] of [[0, 0.5], [1, 0.8413447460685429], [1.959963984540054, 0.975], [-3, 0.0013498980316300933]]) {
    near(cdf(z), p, 1e-12);
    near(quantile(p), z, 1e-8);
  }
  near(quantile(1e-6), -4.753424308822899, 1e-6);
  assert.deepEqual([cdf(-9), cdf(9)], [0, 1]);
});

test("noise has the moments of its distribution, and a seed makes it again", () => {
  const uniforms = draws(uniform(3), 20000);
  near(mean(uniforms), 1 / 2, 0.01);
  near(mean(uniforms.map((u) => (u - 0.5) ** 2)), 1 / 12, 0.002);
  const normals = draws(normal(3), 20000);
  near(mean(normals), 0, 0.03);
  near(mean(normals.map((e) => e ** 2)), 1, 0.04);
  near(mean(normals.map((e) => e ** 4)), 3, 0.3);
  assert.deepEqual(draws(normal(7), 9), draws(normal(7), 9));
  assert.notDeepEqual(draws(normal(7), 9), draws(normal(8), 9));
});

test("Gaussian noise is clipped to 0..1, and 0 of either noise changes nothing", () => {
  const x = draws(uniform(1), 784);
  assert.deepEqual(gaussian(x, 0, 5), x);
  assert.deepEqual(masking(x, 0, 5), x);
  const noisy = gaussian(x, 2, 5);
  assert.ok(noisy.every((value) => value >= 0 && value <= 1) && noisy.includes(0) && noisy.includes(1));
  const grey = new Float32Array(20000).fill(0.5);
  near(squaredError(gaussian(grey, 0.1, 5), grey), 0.01, 0.0005);
});

test("masking puts a share of the pixels out, and more of the same as the share grows", () => {
  const ones = new Float32Array(20000).fill(1);
  const [some, more] = [0.3, 0.6].map((share) => masking(ones, share, 5));
  near(mean(some), 0.7, 0.02);
  near(mean(more), 0.4, 0.02);
  assert.ok(some.every((value, i) => value >= more[i]));
  near(squaredError(some, ones), 1 - mean(some));
});

test("the principal plane of stretched and turned points is where they were stretched", () => {
  const draw = normal(11);
  const scales = [4, 0.1, 2, 0.1, 0.1];
  const [cosine, sine] = [Math.cos(0.4), Math.sin(0.4)];
  const rows = new Float32Array(4000 * 5);
  for (let n = 0; n < 4000; n += 1) {
    const point = scales.map((scale) => scale * draw());
    [point[0], point[4]] = [cosine * point[0] - sine * point[4], sine * point[0] + cosine * point[4]];
    rows.set(point.map((value) => value + 1), 5 * n);
  }
  const plane = principalPlane(rows, 5);
  near(plane.share, 20 / 20.03, 0.001);
  for (const value of plane.centre) near(value, 1, 0.2);
  const expected = [[cosine, 0, 0, 0, sine], [0, 0, 1, 0, 0]];
  plane.directions.forEach((d, k) => d.forEach((value, i) => near(value, expected[k][i], 0.05)));
  const [x, y] = project(plane, place(plane, [1.5, -2]));
  near(x, 1.5, 1e-6);
  near(y, -2, 1e-6);
});

test("directions are orthonormal in fifty dimensions, and no other plane keeps more", () => {
  const draw = normal(2);
  const rows = Float32Array.from({length: 300 * 50}, (_, i) => draw() * (1 + (i % 50) / 10));
  const {directions, share} = principalPlane(rows, 50);
  const dot = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);
  near(dot(directions[0], directions[0]), 1);
  near(dot(directions[1], directions[1]), 1);
  near(dot(directions[0], directions[1]), 0);
  const unit = (i) => Float64Array.from({length: 50}, (_, j) => Number(i === j));
  const variance = (d) => {
    const along = Array.from({length: 300}, (_, n) => dot(d, rows.subarray(50 * n, 50 * n + 50)));
    return mean(along.map((value) => (value - mean(along)) ** 2));
  };
  const total = Array.from({length: 50}, (_, i) => variance(unit(i)));
  near(share, (variance(directions[0]) + variance(directions[1])) / total.reduce((a, b) => a + b), 1e-6);
  for (let i = 0; i < 50; i += 1) assert.ok(variance(directions[0]) >= total[i]);
});

test("two dimensions are kept whole, one has a plane of its line, and points that agree have one", () => {
  near(principalPlane(Float32Array.of(0, 1, 2, 5, -1, 3), 2).share, 1);
  const line = principalPlane(Float32Array.of(1, 2, 6), 1);
  assert.deepEqual(project(line, [5]), [2, 0]);
  assert.equal(principalPlane(new Float32Array(6).fill(4), 3).share, 1);
});

test("every point of an outline is that many standard deviations from the mean", () => {
  const [[a, b], [, c]] = planeCovariance({directions: [[0.6, 0.8, 0], [-0.8, 0.6, 0]]}, [4, 1, 9]);
  near(a, 0.36 * 4 + 0.64);
  near(b, -0.48 * 4 + 0.48);
  for (const [x, y] of outline([1, 2], [[a, b], [b, c]], 2)) {
    const [dx, dy] = [x - 1, y - 2];
    near((c * dx * dx - 2 * b * dx * dy + a * dy * dy) / (a * c - b * b), 4);
  }
  assert.ok(outline([1, 2], [[0, 0], [0, 0]], 2).every(([x, y]) => x === 1 && y === 2));
});

test("planes put points inside the picture and read them back", () => {
  const points = [[-3, 10], [5, 12], [1, 11]];
  for (const plane of [priorPlane, evenPlane(points)]) {
    for (const z of plane === priorPlane ? [[0, 0], [-2.5, 1.3], [3, -3]] : points) {
      const unit = plane.toUnit(z);
      assert.ok(unit.every((u) => u > 0 && u < 1));
      plane.toLatent(unit).forEach((value, k) => near(value, z[k], 1e-6));
    }
  }
  assert.deepEqual(priorPlane.toUnit([0, 0]), [0.5, 0.5]);
  assert.ok(priorPlane.toLatent([0, 1]).every((value) => Math.abs(value) < 4));
  const [p, q] = [[0, 0], [1, 1]].map((z) => evenPlane(points).toUnit(z));
  near(q[0] - p[0], q[1] - p[1]); // as much a unit along both axes
});

test("ticks are round numbers in a range, a handful of them", () => {
  assert.deepEqual(ticksBetween(-3.09, 3.09), [-3, -2, -1, 0, 1, 2, 3]);
  assert.deepEqual(ticksBetween(0.18, 0.231), [0.18, 0.19, 0.2, 0.21, 0.22, 0.23]);
  for (let length = 0.01; length < 100; length *= 1.07) {
    const ticks = ticksBetween(-length / 3, length);
    assert.ok(ticks.length >= 4 && ticks.length <= 11 && ticks[0] >= -length / 3 && ticks.at(-1) <= length, `${length}: ${ticks}`);
  }
});

test("the nearest are the nearest, in order, without the one that is left out", () => {
  const draw = normal(4);
  const rows = Float32Array.from({length: 200 * 3}, draw);
  const far = (n) => Math.hypot(...[0, 1, 2].map((i) => rows[3 * n + i] - 0.5));
  const sorted = [...Array(200).keys()].filter((n) => n !== 17).sort((a, b) => far(a) - far(b));
  const found = nearest(rows, [0.5, 0.5, 0.5], 6, 17);
  assert.deepEqual(found.map(({index}) => index), sorted.slice(0, 6));
  found.forEach(({index, distance}) => near(distance, far(index), 1e-6));
});
