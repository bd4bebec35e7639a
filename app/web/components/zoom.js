// How near one looks: a button to come nearer, and one to go back.

import {h} from "../dom.js";

export const ZOOMS = [1, 2, 4, 8, 16];

/** `onZoom(zoom)` is called when a button is pressed. Returns {element, zoom(), show(zoom)}. */
export function zoomButtons(onZoom) {
  let zoom = ZOOMS[0];
  const step = (by) => () => ZOOMS[ZOOMS.indexOf(zoom) + by] && onZoom(ZOOMS[ZOOMS.indexOf(zoom) + by]);
  const less = h("button", {type: "button", class: "quiet", "aria-label": "Zoom out", onclick: step(-1)}, "−");
  const more = h("button", {type: "button", class: "quiet", "aria-label": "Zoom in", onclick: step(1)}, "+");
  const told = h("output");
  show(zoom);

  function show(next) {
    zoom = next;
    told.textContent = `${zoom}×`;
    // Not `disabled`, which would take the focus away from who presses it with the keyboard.
    less.setAttribute("aria-disabled", String(zoom === ZOOMS[0]));
    more.setAttribute("aria-disabled", String(zoom === ZOOMS.at(-1)));
  }

  return {element: h("div", {class: "zoom", role: "group", "aria-label": "Zoom"}, less, told, more), zoom: () => zoom, show};
}
