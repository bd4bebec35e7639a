// Beside the map: what is decoded at the place that is looked at, and which test digits lie near.

import {h, number} from "../dom.js";
import {draw, tile} from "./tile.js";

/**
 * `toDigit()` and `open()` are called by its two buttons. Returns {element, decoded(pixels or null), tell(what), say(text)}.
 * `tell` shows a place, and returns what it shows in words; what: {
 *   own      whether it is the user's digit itself, rather than a place on the map
 *   values   [[name, value], …] of its latents, to be written out
 *   under    the test digit that is nearest on the map, or nothing
 *   found    the nearest among the codes, nearest first: [{label, digit or undefined, distance}, …]
 * }, or null if there is no place. `say` tells it to who cannot see it.
 */
export function nearby({toDigit, open}) {
  const picture = tile("The digit decoded at the place", null, "large");
  const where = h("figcaption");
  const heading = h("h2");
  const near = h("div", {class: "near"});
  const said = h("p", {class: "unseen", role: "status"});
  const element = h("div", {class: "panel"},
    h("figure", {}, picture, where), h("div", {}, heading, near),
    h("div", {class: "tools"},
      h("button", {type: "button", class: "quiet", onclick: toDigit}, "Back to your digit"),
      h("button", {type: "button", class: "quiet", onclick: open}, "Open in the sliders")),
    said);

  function tell(what) {
    if (!what) {
      where.textContent = "Draw a digit, take one, or move over the map.";
      heading.textContent = "";
      near.replaceChildren();
      return where.textContent;
    }
    const {own, values, under, found} = what;
    const at = values.map(([name, value]) => `${name}\u00a0=\u00a0${number(value)}`).join(", ");
    where.textContent = own
      ? `Your digit, decoded${at ? ` at ${at}` : ""}`
      : `Decoded ${at ? `at ${at}` : "at this point of the plane"}`;
    const counts = countsOf(found.map(({label}) => label));
    if (under) {
      heading.textContent = `Nearest on the map: a ${under.class}`;
      near.replaceChildren(tile(under.label, under.pixels, "small"),
        h("p", {class: "note"}, "and nearest to that in all latents:"), tiles(found));
    } else if (found[0]?.digit) {
      heading.textContent = "Nearest test digits, in all latents";
      near.replaceChildren(tiles(found));
    } else {
      heading.textContent = `The ${found.length} nearest test digits`;
      near.replaceChildren(h("p", {class: "counts"},
        counts.map(([label, count]) => h("span", {}, `${count} × `, glyph(label)))));
    }
    const words = counts.map(([label, count]) => `${count} × ${label}`).join(", ");
    return `${where.textContent}. ${under ? `Nearest on the map a ${under.class}. ` : ""}Nearest: ${words}.`;
  }

  return {element, tell, decoded: (pixels) => draw(picture, pixels), say: (text) => (said.textContent = text)};
}

/** How often each label occurs, the most frequent first: [[label, count], …]. */
function countsOf(labels) {
  const counts = new Map();
  for (const label of labels) counts.set(label, (counts.get(label) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1]);
}

const glyph = (label) => h("span", {class: `glyph label-${label}`}, label);

const tiles = (found) => h("div", {class: "neighbours"}, found.map(({label, digit, distance}) =>
  h("figure", {}, tile(digit.label, digit.pixels, "small"), h("figcaption", {}, glyph(label), ` ${number(distance, 1)}`))));
