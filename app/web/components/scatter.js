// A square of points that are coloured by their labels, to move over with a pointer or the arrow keys.
//
// Few points are drawn as their labels, many as dots. What lies over them, the user's digit say, is an SVG.

import {h, svg} from "../dom.js";

const GLYPHS_UP_TO = 1000;
const STEP = 0.01; // of an arrow key, as a share of what is shown; ten times that with Shift
const KEYS = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1]};

/**
 * `onHover([x, y])` is called with places of the square, whose lower left corner is [0, 0], that a pointer is over, with null
 * when it leaves; `onPlace([x, y], byKey)` with one that is chosen: pressed, dragged to, or come to by the arrow keys.
 * Returns {element, show(scene), frame(zoom, centre), light(labels), place([x, y]), shows([x, y]), mark(marks)}:
 *   show    draws a scene (places.js)
 *   frame   shows a part of the square, whose side is 1 / zoom
 *   light   fades all but some labels; none if the set is empty
 *   place   says where the cross is drawn, and the arrow keys move from
 *   shows   whether a place is on the part that is shown
 *   mark    draws over the points. marks: {yours: a place or null, cross: whether one is drawn at `place`, outlines: [[a
 *           place, …], …], rings: [a place, …]}
 */
export function scatter({label, onHover, onPlace, signal}) {
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
  let marks = {};
  let [corner, side] = [[0, 0], 1]; // of the part that is shown
  const toView = (place) => place.map((value, k) => (value - corner[k]) / side);

  field.addEventListener("pointermove", (event) => {
    if (event.isPrimary) (event.buttons & 1 ? onPlace : onHover)(placeOf(event), false);
  });
  field.addEventListener("pointerdown", (event) => event.isPrimary && event.button === 0 && onPlace(placeOf(event), false));
  field.addEventListener("pointerleave", (event) => event.isPrimary && onHover(null));
  field.addEventListener("keydown", (event) => {
    const way = KEYS[event.key];
    if (!way || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    onPlace(at.map((value, k) => clamp(value + way[k] * STEP * side * (event.shiftKey ? 10 : 1))), true);
  });
  const watch = new ResizeObserver(paintPoints);
  watch.observe(field);
  signal.addEventListener("abort", () => watch.disconnect());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paintPoints, {signal});

  function placeOf(event) {
    const box = field.getBoundingClientRect();
    const inView = [clamp((event.clientX - box.left) / box.width), clamp(1 - (event.clientY - box.top) / box.height)];
    return inView.map((value, k) => corner[k] + value * side);
  }

  function paint() {
    if (!scene) return;
    behind.style.setProperty("left", `${(-100 * corner[0]) / side}%`);
    behind.style.setProperty("bottom", `${(-100 * corner[1]) / side}%`);
    behind.style.setProperty("width", `${100 / side}%`);
    paintAxis(across, 0, "left");
    paintAxis(up, 1, "bottom");
    paintPoints();
    paintMarks();
  }

  function paintAxis(axis, k, edge) {
    const ticks = scene.ticks(k, corner[k], corner[k] + side).map(({at, text}) => ({at: (at - corner[k]) / side, text}));
    axis.replaceChildren(h("span", {class: "name"}, scene.axes[k]),
      ...ticks.filter(({at}) => at > 0.015 && at < 0.985).map(({at, text}) => {
        const tick = h("span", {class: "tick"}, text);
        tick.style.setProperty(edge, `${100 * at}%`);
        return tick;
      }));
  }

  /** Those that are not lit go first, so that they cover none that is. */
  function paintPoints() {
    const {width, height} = field.getBoundingClientRect();
    if (!scene || !width) return;
    const ratio = devicePixelRatio || 1;
    [canvas.width, canvas.height] = [width * ratio, height * ratio];
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    const style = getComputedStyle(element);
    const colours = Array.from({length: 10}, (_, label) => style.getPropertyValue(`--label-${label}`));
    const few = scene.labels.length <= GLYPHS_UP_TO;
    const radius = Math.max(1.2, width / 380) / side ** 0.3;
    context.font = `600 ${Math.max(10, Math.round(width / 46))}px ${style.fontFamily}`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    for (const bright of lit.size ? [false, true] : [true]) {
      context.globalAlpha = bright ? (few ? 1 : 0.75) : 0.1;
      scene.labels.forEach((label, n) => {
        if (lit.size && lit.has(label) !== bright) return;
        const x = ((scene.points[2 * n] - corner[0]) / side) * width;
        const y = (1 - (scene.points[2 * n + 1] - corner[1]) / side) * height;
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

  function paintMarks() {
    const {yours = null, cross = false, outlines = [], rings = []} = marks;
    const flip = (place) => {
      const [x, y] = toView(place);
      return [x.toFixed(5), (1 - y).toFixed(5)];
    };
    const line = (places) => `M${places.map((place) => flip(place).join(" ")).join("L")}Z`;
    const dot = (place, name) => svg("path", {class: name, d: `M${flip(place).join(" ")}h0`});
    over.replaceChildren(
      ...outlines.map((places, i) => svg("path", {class: `outline sigma-${i + 1}`, d: line(places)})),
      ...(yours ? [dot(yours, "yours")] : []),
      ...rings.map(flip).map(([cx, cy]) => svg("circle", {class: "ring", cx, cy, r: 0.017})),
      ...(cross ? [dot(at, "cross halo"), dot(at, "cross")] : []),
    );
    const [x, y] = yours ? toView(yours) : [-1, -1];
    yourName.hidden = x < 0 || x > 1 || y < 0 || y > 1;
    yourName.style.setProperty("left", `${100 * x}%`);
    yourName.style.setProperty("bottom", `${100 * y}%`);
    yourName.classList.toggle("leftwards", x > 0.5); // on a phone the name is a third of the map
    yourName.classList.toggle("below", y > 0.9);
  }

  return {
    element,
    show(shown) {
      scene = shown;
      behind.hidden = !scene.picture;
      if (scene.picture) {
        behind.src = URL.createObjectURL(scene.picture);
        behind.onload = () => URL.revokeObjectURL(behind.src);
      }
      paint();
    },
    frame(zoom, centre) {
      side = 1 / zoom;
      corner = centre.map((value) => Math.min(Math.max(value - side / 2, 0), 1 - side));
      paint();
    },
    light(labels) {
      lit = labels;
      paintPoints();
    },
    place(next) {
      at = next;
    },
    shows: (place) => toView(place).every((value) => value >= 0 && value <= 1),
    mark(next) {
      marks = next;
      paintMarks();
    },
  };
}

const clamp = (value) => Math.min(1, Math.max(0, value));
