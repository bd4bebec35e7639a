// Test digits among a model's codes, and the user's digit among them.

import {coalesce} from "../coalesce.js";
import {nearby} from "../components/nearby.js";
import {scatter} from "../components/scatter.js";
import {ZOOMS, zoomButtons} from "../components/zoom.js";
import {h} from "../dom.js";
import {digitOfPixels} from "../digit.js";
import {nearest} from "../math/neighbours.js";
import {isItself, sceneOf} from "../places.js";
import {packFloats} from "../state.js";

const PICTURED = 6; // neighbours, where they have pictures
const COUNTED = 12; // where they have not

export const title = "Map";
export const aboutDigit = true;
export const impossible = () => "";

export function lead(card) {
  if (isItself(card)) {
    return `Where ${card.name} encodes test digits: its two latents are the whole map. Move over it to decode any ` +
      "point, click to keep one.";
  }
  const use = "Move over it to see what is where, click to keep a place.";
  return card.latents > 2
    ? `${card.name} has ${card.latents} latents, more than a map has room for. This is a projection (PCA): the plane in ` +
      `which the codes of 500 real test digits vary most. ${use}`
    : `The checkpoint of ${card.name} keeps no map of its latents. These are the codes of 500 real test digits, turned ` +
      `to where they vary most (PCA). ${use}`;
}

export function show(root, {card, api, state, signal, onDigit, go, failed, request}) {
  let scene = null;
  let yours = null; // {mean, variance, source} of the user's digit
  let kept = readPlace(state.get("map.at")); // null follows the user's digit
  let at = kept; // that, or where the pointer is
  const map = scatter({label: `Map of ${card.name}. The arrow keys move, with Shift faster.`, onHover: lookAt, onPlace: keep, signal});
  const zoomer = zoomButtons((zoom) => {
    if (scene) frame(zoom, kept ?? (yours ? scene.toPlace(yours.mean) : [0.5, 0.5]));
  });
  const behind = h("input", {type: "checkbox", checked: state.get("map.behind") !== "0", onchange: layers});
  const behindLabel = h("label", {class: "check", hidden: true}, behind, "decoded digits behind");
  const panel = nearby({
    toDigit: () => follow(true),
    open: async () => {
      const code = scene && here();
      if (!code) return;
      try {
        // The sliders are about a digit: where there is none, about the one that is decoded.
        const digit = yours ? {} : {digit: digitOfPixels((await api.decode(Float32Array.from(code), 1, {signal})).pixels).source};
        go("posterior", {z: packFloats(code), ...digit});
      } catch (error) {
        failed(error);
      }
    },
  });
  const note = h("p", {class: "note", role: "status"},
    isItself(card) ? "The map is on its way …" : "500 test digits are being encoded …");
  root.append(
    h("div", {class: "key"}, legend(), behindLabel, zoomer.element),
    h("div", {class: "plane"}, map.element, panel.element),
    note,
  );
  layers();

  const decode = coalesce(async (code) => {
    if (!code) return panel.decoded(null);
    const call = await api.decode(code, 1, {signal});
    panel.decoded(call.pixels);
    request.show(call);
    failed(null);
  }, failed);
  const encode = coalesce(async (digit) => {
    const before = yours;
    yours = digit && {...await api.encode(digit.pixels, {signal}), source: digit.source};
    if (before && yours && before.source !== yours.source) follow();
    else look();
  }, failed);

  sceneOf(card, api, {signal}).then((made) => {
    scene = made;
    map.show(scene);
    const [zoom, ...centre] = state.get("map.zoom").split("~").map(Number);
    if (ZOOMS.includes(zoom) && readPlace(centre.join("~"))) frame(zoom, centre);
    behindLabel.hidden = !scene.picture;
    note.textContent = noteOf(scene, card);
    look();
  }).catch((error) => {
    note.textContent = "";
    failed(error);
  });
  onDigit(encode);

  /** The code that is looked at, or null. */
  function here() {
    return at ? scene.toCode(at) : yours?.mean ?? null;
  }

  function lookAt(place) {
    if (!scene) return;
    at = place ?? kept;
    look();
  }

  function keep(place, byKey) {
    if (!scene) return;
    at = kept = place;
    state.set({"map.at": writePlace(kept)});
    if (!map.shows(place)) frame(zoomer.zoom(), place);
    look(byKey);
  }

  function follow(byKey = false) {
    at = kept = null;
    state.set({"map.at": null});
    if (scene && zoomer.zoom() > 1 && yours) frame(zoomer.zoom(), scene.toPlace(yours.mean));
    look(byKey);
  }

  function frame(zoom, centre) {
    zoomer.show(zoom);
    map.frame(zoom, centre);
    state.set({"map.zoom": zoom > 1 ? `${zoom}~${writePlace(centre)}` : null});
  }

  /** Show what is at the place: its code decoded, the digits near it, the marks on the map. */
  function look(byKey = false) {
    if (!scene) return;
    const code = here();
    decode(code && Float32Array.from(code));
    if (!code) {
      panel.tell(null);
      return mark();
    }
    map.place(at ?? scene.toPlace(code));
    const {under, found} = around(code);
    const told = panel.tell({
      own: !at, under: scene.digits?.[under], values: isItself(card) ? scene.axes.map((name, k) => [name, code[k]]) : [],
      found: found.map(({index, distance}) => ({label: scene.labels[index], digit: scene.digits?.[index], distance})),
    });
    if (byKey) panel.say(told);
    mark(scene.digits ? [under, ...found.map(({index}) => index)].filter((index) => index !== undefined) : []);
  }

  /**
   * The test digits around a code. In a projection a place is a code that no digit has: what is near is then told of the
   * digit that is next to it on the map, `under`. The user's own digit is no neighbour of itself.
   */
  function around(code) {
    if (!scene.digits) return {found: nearest(scene.codes, code, COUNTED)};
    if (!at) return {found: nearest(scene.codes, code, PICTURED, scene.digits.findIndex(({source}) => source === yours.source))};
    const [{index: under}] = nearest(scene.points, at, 1);
    const its = scene.codes.subarray(under * card.latents, (under + 1) * card.latents);
    return {under, found: nearest(scene.codes, its, PICTURED, under)};
  }

  function mark(ringed = []) {
    map.mark({
      yours: yours && scene.toPlace(yours.mean),
      cross: Boolean(at),
      outlines: yours?.variance ? [1, 2].map((sigmas) => scene.outline(yours.mean, yours.variance, sigmas)) : [],
      rings: ringed.map((n) => [scene.points[2 * n], scene.points[2 * n + 1]]),
    });
  }

  function layers() {
    map.element.classList.toggle("plain", !behind.checked);
    state.set({"map.behind": behind.checked ? null : "0"});
  }

  /** Ten buttons: the labels, in their colours; those that are pressed stand out on the map. */
  function legend() {
    const lit = new Set([...state.get("map.labels")].map(Number).filter((label) => label >= 0 && label <= 9));
    const buttons = Array.from({length: 10}, (_, label) => {
      const button = h("button", {type: "button", class: `label label-${label}`, "aria-pressed": String(lit.has(label)),
        "aria-label": `Light up the digit ${label}`, onclick: () => {
          if (!lit.delete(label)) lit.add(label);
          button.setAttribute("aria-pressed", String(lit.has(label)));
          state.set({"map.labels": [...lit].sort().join("")});
          map.light(lit);
        }}, label);
      return button;
    });
    map.light(lit);
    return h("div", {class: "legend", role: "group", "aria-label": "Digits on the map"}, buttons);
  }
}

function noteOf({share, labels, picture}, {name, generative, latents}) {
  const own = generative
    ? "The ellipses are the posterior of your digit, at 1 and 2 standard deviations."
    : `${name} is deterministic: your digit is a point, without a posterior around it.`;
  if (share !== null) {
    return `The plane keeps ${Math.round(100 * share)} % of the variance of these codes: digits that are near here may be ` +
      `far apart in the other ${latents - 2} directions. Neighbours and their distances are of all ${latents}. ${own}`;
  }
  const spaced = "Axes are spaced by the prior's quantiles, so that equal areas are equally probable under it. ";
  return `${labels.length.toLocaleString("en")} test digits. ${picture ? spaced : ""}${own}`;
}

const writePlace = (place) => place.map((value) => value.toFixed(4)).join("~");

/** -> [x, y] in 0..1, or null if the text is of no such place. */
function readPlace(text) {
  const place = text.split("~").map(Number);
  return place.length === 2 && place.every((value) => value >= 0 && value <= 1) ? place : null;
}
