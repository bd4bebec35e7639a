// A digit: 28 x 28 pixels as every model sees them, and where they came from.
//
// {source, pixels, label, strokes}. `source` is text for the address bar, from which the digit can be made again:
//   t17      the 17th of the test digits that come with the page
//   s…       strokes drawn by hand, from which the service makes the pixels
//   p…       the pixels themselves: of a picture, or of a sample
// `pixels`: Float32Array (784) in 0..1, of 256 levels, so that they survive the address bar and a PNG unchanged.
// `label` names it for who cannot see it. `strokes`: [[[x, y], …], …] in 0..255, of a drawing alone.

import {webArray} from "./api.js";
import {packBytes, unpackBytes} from "./state.js";

export const PIXELS = 784;
const NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];

let loading = null;

/** The real digits of MNIST's test set that come with the page -> [digit, …]: 0 to 9, then 0 to 9 again, and so on. */
export function testDigits() {
  loading ??= webArray("digits.npy.gz").then(({shape: [count], values}) => {
    const pixels = new Float32Array(values.length);
    for (let i = 0; i < values.length; i++) pixels[i] = values[i] / 255;
    return Array.from({length: count}, (_, i) => ({
      source: `t${i}`,
      pixels: pixels.subarray(i * PIXELS, (i + 1) * PIXELS),
      label: `a real ${NAMES[i % 10]}`,
      class: i % 10,
    }));
  });
  return loading;
}

/** Of pixels, which are rounded to 256 levels. */
export function digitOfPixels(pixels, label = "a picture") {
  const levels = Uint8Array.from(pixels, (value) => Math.round(Math.min(Math.max(value, 0), 1) * 255));
  return {source: `p${packBytes(packRuns(levels))}`, pixels: Float32Array.from(levels, (level) => level / 255), label};
}

/** Of strokes, and of what the service made of them. */
export function digitOfStrokes(strokes, pixels) {
  return {...digitOfPixels(pixels), source: `s${packBytes(packStrokes(strokes))}`, label: "your drawing", strokes};
}

/**
 * The digit that a source tells of, or null if it tells of none. Strokes are of no pixels yet: `pixels` is null, and who
 * asks lets the service fit them (components/pad.js).
 */
export async function digitOf(source) {
  const rest = source.slice(1);
  if (source[0] === "t") return (await testDigits())[Number(rest)] ?? null;
  const bytes = unpackBytes(rest);
  if (!bytes) return null;
  if (source[0] === "s") {
    const strokes = unpackStrokes(bytes);
    return strokes.length ? {source, pixels: null, label: "your drawing", strokes} : null;
  }
  const levels = source[0] === "p" ? unpackRuns(bytes) : [];
  if (levels.length !== PIXELS) return null;
  return {source, pixels: Float32Array.from(levels, (level) => level / 255), label: "a picture"};
}

/** Most of a digit is black: a zero is followed by how many there are, up to 255. */
function packRuns(levels) {
  const packed = [];
  for (let i = 0; i < levels.length; ) {
    if (levels[i]) packed.push(levels[i++]);
    else {
      let run = 1;
      while (run < 255 && levels[i + run] === 0) run++;
      packed.push(0, run);
      i += run;
    }
  }
  return packed;
}

function unpackRuns(packed) {
  const levels = [];
  for (let i = 0; i < packed.length && levels.length <= PIXELS; i++) {
    if (packed[i]) levels.push(packed[i]);
    else levels.push(...new Array(packed[++i] ?? 0).fill(0));
  }
  return levels;
}

/** Each stroke: how many points, in two bytes, and the points. */
function packStrokes(strokes) {
  return strokes.flatMap((points) => [points.length >> 8, points.length & 255, ...points.flat()]);
}

function unpackStrokes(bytes) {
  const strokes = [];
  for (let i = 0; i + 2 < bytes.length; ) {
    const count = (bytes[i] << 8) | bytes[i + 1];
    const points = [];
    for (let k = 0; k < count && i + 3 + 2 * k < bytes.length; k++) {
      points.push([bytes[i + 2 + 2 * k], bytes[i + 3 + 2 * k]]);
    }
    if (points.length) strokes.push(points);
    i += 2 + 2 * count;
  }
  return strokes;
}
