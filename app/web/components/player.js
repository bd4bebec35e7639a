// A row of pictures played as a film, there and back, that can be stopped and moved by hand.

import {draw, nth, tile} from "../components/tile.js";
import {h} from "../dom.js";

const THERE_MS = 2200; // from the first picture to the last
const REST_MS = 500; // at either end

/**
 * `onFrame(index)` is called when the user chooses a picture, with null when the film plays on; `signal` ends it. It
 * plays at once, unless the user wants little motion or `start` tells the picture to stand at.
 * Returns {element, show(pixels, count), stand(index)}.
 */
export function player({label, start = null, onFrame, signal}) {
  const screen = tile(label, null, "hero");
  const position = h("input", {type: "range", min: 0, max: 0, step: 1, value: 0, "aria-label": "Position on the way",
    oninput: () => choose(Number(position.value))});
  const toggle = h("button", {type: "button", class: "quiet play", onclick: () => (playing ? choose(index) : play())});
  const element = h("div", {class: "player"}, screen, h("div", {class: "controls"}, toggle, position));
  let [frames, count] = [null, 0];
  let index = start ?? 0;
  let [playing, began, timer] = [false, 0, 0];
  signal.addEventListener("abort", () => cancelAnimationFrame(timer));
  if (start === null && !matchMedia("(prefers-reduced-motion: reduce)").matches) play();
  else stop();

  function play() {
    cancelAnimationFrame(timer);
    playing = true;
    toggle.textContent = "Pause";
    began = performance.now() - (REST_MS + (count > 1 ? (THERE_MS * index) / (count - 1) : 0));
    onFrame(null);
    tick(performance.now());
  }

  function stop() {
    cancelAnimationFrame(timer);
    playing = false;
    toggle.textContent = "Play";
  }

  function choose(next) {
    stop();
    stand(next);
    onFrame(index);
  }

  function tick(now) {
    if (!playing || signal.aborted) return;
    const round = 2 * (THERE_MS + REST_MS);
    const at = (now - began) % round;
    const back = at > round / 2;
    const share = Math.min(1, Math.max(0, (at - (back ? round / 2 : 0) - REST_MS) / THERE_MS));
    stand(Math.round((back ? 1 - share : share) * (count - 1)));
    timer = requestAnimationFrame(tick);
  }

  function stand(next) {
    const clamped = inside(next);
    if (clamped === index && element.dataset.index === String(index)) return;
    index = clamped;
    paint();
  }

  function inside(at) {
    return Math.round(Math.min(Math.max(at, 0), Math.max(count - 1, 0)));
  }

  function paint() {
    if (!frames) return;
    draw(screen, nth(frames, index));
    element.dataset.index = index;
    position.value = index;
    position.setAttribute("aria-valuetext", `picture ${index + 1} of ${count}`);
    element.dispatchEvent(new CustomEvent("frame", {detail: index}));
  }

  return {
    element,
    stand: choose,
    show(pixels, length) {
      const share = count > 1 ? index / (count - 1) : null;
      [frames, count] = [pixels, length];
      position.max = count - 1;
      index = inside(playing && share !== null ? share * (count - 1) : index);
      paint();
    },
  };
}
