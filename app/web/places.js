// Where test digits lie among a model's codes, on a square to look at: what the map shows.
//
// A scene: {
//   codes      Float32Array (N * Z), and `labels`: [digit, …], of N test digits
//   points     Float32Array (N * 2): their places on the square, whose lower left corner is [0, 0], its upper right [1, 1]
//   digits     the test digits themselves (digit.js), or null where only their codes are known
//   share      what part of the codes' variance the square keeps, or null where it is the latent space itself
//   picture    a Blob: what the model decodes all over the square, or null
//   axes       [name, name], and `ticks(axis, from, to)`: [{at, text}, …] of a part of one
//   toPlace(code), toCode(place), outline(mean, variance, sigmas): points of an ellipse on the square, [[x, y], …]
// }

import {isTooMuch} from "./api.js";
import {testDigits} from "./digit.js";
import {outline} from "./math/ellipse.js";
import {place, planeCovariance, principalPlane, project} from "./math/pca.js";
import {evenPlane, priorPlane, ticksBetween} from "./math/planes.js";

const SIDE = 20; // digits along a side of the picture behind
const scenes = new Map(); // by the hash of the model's weights

/** Whether the square is a model's latent space itself, rather than a projection of it. */
export const isItself = (card) => card.capabilities.includes("map");

/** The scene of a model; it is made once. Throws what a call throws. */
export async function sceneOf(card, api, options) {
  if (!scenes.has(card.sha256)) {
    scenes.set(card.sha256, await (isItself(card) ? itself : projection)(card, api, options));
  }
  return scenes.get(card.sha256);
}

/** Two latents, and the codes of test digits that the checkpoint keeps. */
async function itself(card, api, options) {
  const {mean, labels} = await api.map(options);
  const prior = card.prior?.kind === "standard-normal";
  const picture = prior ? await api.mapPicture({size: SIDE}, options).then(({blob}) => blob, withoutIt) : null;
  const whole = {centre: [0, 0], directions: [[1, 0], [0, 1]]};
  return onSquare({codes: Float32Array.from(mean.flat()), labels, digits: null, share: null, picture, axes: ["z₀", "z₁"]},
    whole, () => (prior ? priorPlane : evenPlane(mean)));
}

/** A service that draws fewer at once has the map all the same. */
function withoutIt(error) {
  if (isTooMuch(error)) return null;
  throw error;
}

/** The plane in which the codes of the page's own test digits vary most. */
async function projection(card, api, options) {
  const digits = await testDigits();
  const pixels = new Float32Array(digits.length * 784);
  digits.forEach((digit, i) => pixels.set(digit.pixels, i * 784));
  const {mean} = await api.encode(pixels, options);
  const plane = principalPlane(mean, card.latents);
  return onSquare({codes: mean, labels: digits.map((digit) => digit.class), digits, share: plane.share, picture: null,
    axes: ["first principal component", "second principal component"]}, plane, evenPlane);
}

/** A scene from a plane among the codes, and from how the square lies on it. */
function onSquare(known, plane, lay) {
  const size = plane.centre.length;
  const flat = known.labels.map((_, n) => project(plane, known.codes.subarray(n * size, (n + 1) * size)));
  const square = lay(flat);
  return {
    ...known,
    points: Float32Array.from(flat.flatMap((point) => square.toUnit(point))),
    ticks: (axis, ...range) => ticksBetween(...range.map((at) => square.toLatent([at, at])[axis]))
      .map((tick) => ({at: square.toUnit([tick, tick])[axis], text: String(tick).replace("-", "−")})),
    toPlace: (code) => square.toUnit(project(plane, code)),
    toCode: (at) => place(plane, square.toLatent(at)),
    outline: (mean, variance, sigmas) =>
      outline(project(plane, mean), planeCovariance(plane, variance), sigmas).map((point) => square.toUnit(point)),
  };
}
