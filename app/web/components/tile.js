// A digit on a small black square: 28 x 28 pixels of a canvas, one for each of the digit's, drawn large by CSS.

import {h} from "../dom.js";

/** A canvas for a digit; `label` says to who cannot see it what it shows. Sizes are CSS's: `.tile`, `.tile.large`, … */
export function tile(label, pixels = null, className = "") {
  const canvas = h("canvas", {class: `tile ${className}`, width: 28, height: 28, role: "img", "aria-label": label});
  if (pixels) draw(canvas, pixels);
  return canvas;
}

/** Draw pixels (784, in 0..1) onto a canvas of 28 x 28; null makes it black. */
export function draw(canvas, pixels) {
  const context = canvas.getContext("2d");
  const image = context.createImageData(28, 28);
  const words = new Uint32Array(image.data.buffer);
  for (let i = 0; i < 784; i++) {
    const level = pixels ? Math.round(Math.min(Math.max(pixels[i], 0), 1) * 255) : 0;
    words[i] = 0xff000000 | (level << 16) | (level << 8) | level; // opaque grey, in either byte order
  }
  context.putImageData(image, 0, 0);
}

/** The pixels of the i-th of several images, of a Float32Array. */
export function nth(pixels, i) {
  return pixels.subarray(i * 784, (i + 1) * 784);
}
