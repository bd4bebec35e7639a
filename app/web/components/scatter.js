// A square of points that are coloured by their labels, to move over with a pointer or the arrow keys.
//
// Few points are drawn as their labels, many as dots. What lies over them, the user's digit say, is an SVG.

import {h} from "../dom.js";

const GLYPHS_UP_TO = 1000;
const STEP = 0.01; // of an arrow key, as a share of the square; ten times that with Shift
const SVG = "http://www.w3.org/2000/svg";
const KEYS = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1]};

/**
 * `onMove([x, y], byKey)` is called with places of the square, whose lower left corner is [0, 0].
 * Returns {element, show(scene), light(labels), place([x, y]), mark({yours, cross, outlines, rings})}: see places.js for scenes;
 * `light` fades all but some labels, none if the set is empty; `place` says where the keys move from; `mark` draws over the
 * points, a cross at that place if it is asked for.
 */
export function scatter({label, onMove, signal}) {
  const behind = h("img", {class: "behind", alt: "", hidden: true});
  const canvas = h("canvas", {"aria-hidden": "true"});
  const over = svg("svg", {viewBox: "0 0 1 1", preserveAspectRatio: "none", "aria-hidden": "true"});
  const yourName = h("span", {class: "yours", "aria-hidden": "true", hidden: true}, "your digit");
  const field = h("div", {class: "field", tabindex: 0, role: "application", "aria-roledescription": "map", "aria-label": label},
    behind, canvas, over, yourName);
  const [across, up] = [h("div", {class: "axis across"}), h("div", {class: "axis up"})];
  const element = h("div", {class: "scatter"}, up, field, across);
  let scene = null;
  let lit = new Set();
  let at = [0.5, 0.5];

  field.addEventListener("pointermove", (event) => event.isPrimary && moveTo(event));
  field.addEventListener("pointerdown", (event) => event.isPrimary && moveTo(event));
  field.addEventListener("keydown", (event) => {
    const way = KEYS[event.key];
    if (!way || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    onMove(at.map((value, k) => clamp(value + way[k] * STEP * (event.shiftKey ? 10 : 1))), true);
  });
  const watch = new ResizeObserver(paint);
  watch.observe(field);
  signal.addEventListener("abort", () => watch.disconnect());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint, {signal});

  function moveTo(event) {
    const box = field.getBoundingClientRect();
    onMove([clamp((event.clientX - box.left) / box.width), clamp(1 - (event.clientY - box.top) / box.height)], false);
  }

  /** The points. Those that are not lit go first, so that they cover none that is. */
  function paint() {
    const {width, height} = field.getBoundingClientRect();
    if (!scene || !width) return;
    const ratio = devicePixelRatio || 1;
    [canvas.width, canvas.height] = [width * ratio, height * ratio];
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    const style = getComputedStyle(element);
    const colours = Array.from({length: 10}, (_, label) => style.getPropertyValue(`--label-${label}`));
    const few = scene.labels.length <= GLYPHS_UP_TO;
    const radius = few ? 0 : Math.max(1.2, width / 380);
    context.font = `600 ${Math.max(10, Math.round(width / 46))}px ${style.fontFamily}`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    for (const bright of lit.size ? [false, true] : [true]) {
      context.globalAlpha = bright ? (few ? 1 : 0.75) : 0.1;
      scene.labels.forEach((label, n) => {
        if (lit.size && lit.has(label) !== bright) return;
        const [x, y] = [scene.points[2 * n] * width, (1 - scene.points[2 * n + 1]) * height];
        context.fillStyle = colours[label];
        if (few) {
          context.fillText(label, x, y);
        } else {
          context.beginPath();
          context.arc(x, y, radius, 0, 2 * Math.PI);
          context.fill();
        }
      });
    }
  }

  function axis(element, name, ticks, side) {
    element.replaceChildren(h("span", {class: "name"}, name), ...ticks.map(({at, text}) => {
      const tick = h("span", {class: "tick"}, text);
      tick.style.setProperty(side, `${100 * at}%`);
      return tick;
    }));
  }

  return {
    element,
    field,
    show(shown) {
      scene = shown;
      behind.hidden = !scene.picture;
      if (scene.picture) {
        const address = URL.createObjectURL(scene.picture);
        behind.src = address;
        behind.onload = () => URL.revokeObjectURL(address);
      }
      axis(across, scene.axes[0], scene.ticks[0], "left");
      axis(up, scene.axes[1], scene.ticks[1], "bottom");
      paint();
    },
    light(labels) {
      lit = labels;
      paint();
    },
    place(next) {
      at = next;
    },
    mark({yours = null, cross = false, outlines = [], rings = []}) {
      const flip = ([x, y]) => `${x.toFixed(5)} ${(1 - y).toFixed(5)}`;
      const dot = (point, name) => svg("path", {class: name, d: `M${flip(point)}h0`});
      over.replaceChildren(
        ...outlines.map((points, i) => svg("path", {class: `outline sigma-${i + 1}`, d: `M${points.map(flip).join("L")}Z`})),
        ...(yours ? [dot(yours, "yours")] : []),
        ...rings.map(([x, y]) => svg("circle", {class: "ring", cx: x, cy: 1 - y, r: 0.017})),
        ...(cross ? [dot(at, "cross halo"), dot(at, "cross")] : []),
      );
      yourName.hidden = !yours;
      if (yours) {
        yourName.style.setProperty("left", `${100 * yours[0]}%`);
        yourName.style.setProperty("bottom", `${100 * yours[1]}%`);
        yourName.classList.toggle("leftwards", yours[0] > 0.8);
        yourName.classList.toggle("below", yours[1] > 0.9);
      }
    },
  };
}

const clamp = (value) => Math.min(1, Math.max(0, value));

function svg(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}
