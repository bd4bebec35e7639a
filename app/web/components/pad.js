// A sheet to draw a digit on, with a mouse, a finger or a pen; it also shows a picture that was given instead.

import {h} from "../dom.js";

const SIDE = 256; // strokes are in 0..255, so that the address bar holds a point in two bytes
const WIDTH = 22; // of a stroke: about what MNIST's are, once the digit is 20 pixels high

/**
 * `onStrokes(strokes)` is called while the user draws, undoes and clears; strokes: [[[x, y], …], …].
 * Returns {element, undo, clear, show, undoable}: `show({strokes, picture, pixels})` shows one of the three, or nothing.
 * What is cleared, or shown over, `undo` brings back if it was drawn.
 */
export function pad({onStrokes, signal}) {
  const canvas = h("canvas", {class: "pad", width: 2 * SIDE, height: 2 * SIDE, role: "img"});
  const context = canvas.getContext("2d");
  let strokes = [];
  let before = []; // strokes that were cleared, or shown over
  let shown = {};
  let pointer = null;

  canvas.addEventListener("pointerdown", (event) => {
    if (pointer !== null || event.button > 0) return;
    event.preventDefault();
    pointer = event.pointerId;
    canvas.setPointerCapture(pointer);
    strokes = [...strokes, [place(event)]];
    changed();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (event.pointerId !== pointer) return;
    const points = strokes.at(-1);
    for (const step of event.getCoalescedEvents?.() ?? [event]) {
      const [x, y] = place(step);
      const [lastX, lastY] = points.at(-1);
      if (Math.hypot(x - lastX, y - lastY) >= 3) points.push([x, y]);
    }
    changed();
  });
  for (const end of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(end, (event) => {
      if (event.pointerId === pointer) pointer = null;
    });
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint, {signal});

  function place(event) {
    const box = canvas.getBoundingClientRect();
    const along = (at, start, length) => Math.min(Math.max(Math.round((255 * (at - start)) / length), 0), 255);
    return [along(event.clientX, box.left, box.width), along(event.clientY, box.top, box.height)];
  }

  function leave() {
    pointer = null; // a stroke that is being drawn ends here
    if (strokes.length) before = strokes;
    strokes = [];
  }

  function changed() {
    shown = {strokes};
    paint();
    onStrokes(strokes);
  }

  function paint() {
    const style = getComputedStyle(canvas);
    context.fillStyle = style.backgroundColor;
    context.fillRect(0, 0, canvas.width, canvas.height);
    if (shown.strokes) trace(context, shown.strokes, 2, style.color);
    else if (shown.picture) inside(context, shown.picture);
    else if (shown.pixels) enlarge(context, shown.pixels);
  }

  return {
    element: canvas,
    undo() {
      pointer = null;
      if (strokes.length) strokes = strokes.slice(0, -1);
      else [strokes, before] = [before, []];
      changed();
    },
    clear() {
      leave();
      changed();
    },
    show(what) {
      leave();
      shown = what;
      strokes = what.strokes ?? [];
      paint();
    },
    undoable: () => strokes.length + before.length > 0,
  };
}

/** A drawing as a PNG file, dark on light, which the service reads as it would a photograph -> Promise of a Blob. */
export function strokesFile(strokes) {
  const canvas = h("canvas", {width: SIDE, height: SIDE});
  const context = canvas.getContext("2d");
  context.fillStyle = "white";
  context.fillRect(0, 0, SIDE, SIDE);
  trace(context, strokes, 1, "black");
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}

function trace(context, strokes, scale, colour) {
  context.strokeStyle = colour;
  context.lineWidth = WIDTH * scale;
  context.lineCap = context.lineJoin = "round";
  for (const points of strokes) {
    context.beginPath();
    const [[x, y], ...others] = points.map(([x, y]) => [(x + 0.5) * scale, (y + 0.5) * scale]);
    context.moveTo(x, y);
    if (!others.length) context.lineTo(x + 0.01, y);
    others.forEach(([toX, toY], i) => {
      const [nextX, nextY] = others[i + 1] ?? [toX, toY];
      context.quadraticCurveTo(toX, toY, (toX + nextX) / 2, (toY + nextY) / 2);
    });
    context.stroke();
  }
}

function inside(context, picture) {
  const {width, height} = context.canvas;
  const scale = Math.min(width / picture.width, height / picture.height);
  const [w, h] = [picture.width * scale, picture.height * scale];
  context.imageSmoothingEnabled = scale < 4;
  context.drawImage(picture, (width - w) / 2, (height - h) / 2, w, h);
}

function enlarge(context, pixels) {
  const step = context.canvas.width / 28;
  for (let i = 0; i < 784; i++) {
    const level = Math.round(pixels[i] * 255);
    context.fillStyle = `rgb(${level} ${level} ${level})`;
    context.fillRect(Math.floor((i % 28) * step), Math.floor(Math.floor(i / 28) * step), step + 1, step + 1);
  }
}
