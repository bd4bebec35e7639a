// Test digits among a model's codes, and the user's digit among them.

import {coalesce} from "../coalesce.js";
import {scatter} from "../components/scatter.js";
import {draw, tile} from "../components/tile.js";
import {h, number} from "../dom.js";
import {nearest} from "../math/neighbours.js";
import {isItself, sceneOf} from "../places.js";
import {packFloats} from "../state.js";

const NEIGHBOURS = 6;
const ZOOMS = [1, 2, 4, 8, 16];

export const title = "Map";
export const aboutDigit = true;
export const lead = (card) => (isItself(card)
  ? `Where ${card.name} encodes test digits: its two latents are the whole map. Move over it to decode any point.`
  : `${card.name} has ${card.latents} latents, more than a map has room for. This is a projection (PCA): the plane in which the codes of 500 real test digits vary most.`);
export const impossible = () => "";

export function show(root, {card, api, state, signal, onDigit, go, failed, request}) {
  let scene = null;
  let yours = null; // {mean, variance, source} of the user's digit
  let at = readPlace(state.get("map.at")); // null follows the user's digit
  const map = scatter({label: `Map of ${card.name}. The arrow keys move, with Shift faster.`, onMove: moveTo, signal});
  const behind = h("input", {type: "checkbox", checked: state.get("map.behind") !== "0", onchange: layers});
  const behindLabel = h("label", {class: "check", hidden: true}, behind, "decoded digits behind");
  const zoomer = zoomButtons((zoom) => {
    if (scene) frame(zoom, at ?? (yours ? scene.toPlace(yours.mean) : [0.5, 0.5]));
  });
  const note = h("p", {class: "note", role: "status"}, isItself(card) ? "The map is on its way …" : "500 test digits are being encoded …");
  const panel = sidePanel({
    itself: isItself(card), toDigit: () => follow(true), open: () => scene && here() && go("posterior", {z: packFloats(here())}),
  });
  root.append(
    h("div", {class: "key"}, legend(), behindLabel, zoomer.element),
    h("div", {class: "plane"}, map.element, panel.element),
    note,
  );
  layers();

  const decode = coalesce(async (code) => {
    const call = await api.decode(code, 1, {signal});
    panel.decoded(call.pixels);
    request.show(call);
    failed(null);
  }, failed);
  const encode = coalesce(async (digit) => {
    if (!digit) {
      yours = null;
      return look();
    }
    const {mean, variance} = await api.encode(digit.pixels, {signal});
    const another = yours && yours.source !== digit.source;
    yours = {mean, variance, source: digit.source};
    if (another) follow();
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
  }).catch(failed);
  onDigit(encode);

  /** The code that is looked at, or null. */
  function here() {
    return at ? scene.toCode(at) : yours?.mean ?? null;
  }

  function moveTo(place, byKey) {
    if (!scene) return;
    at = place;
    state.set({"map.at": at.map((value) => value.toFixed(4)).join("~")});
    look(byKey);
  }

  function frame(zoom, centre) {
    zoomer.show(zoom);
    map.frame(zoom, centre);
    state.set({"map.zoom": zoom > 1 ? [zoom, ...centre.map((value) => value.toFixed(4))].join("~") : null});
  }

  function follow(byKey = false) {
    at = null;
    state.set({"map.at": null});
    if (scene && zoomer.zoom() > 1 && yours) frame(zoomer.zoom(), scene.toPlace(yours.mean));
    look(byKey);
  }

  /** Show what is at the place: its code decoded, the digits near it, the marks on the map. */
  function look(byKey = false) {
    if (!scene) return;
    const code = here();
    if (!code) {
      panel.empty();
      return mark();
    }
    map.place(at ?? scene.toPlace(code));
    // In a projection the point of the plane is a code that no digit has: neighbours are those of the digit next to it.
    const [under] = at && scene.digits ? nearest(scene.points, at, 1) : [];
    const itsOwn = scene.digits?.findIndex(({source}) => source === yours?.source);
    const size = card.latents;
    const from = under ? scene.codes.subarray(under.index * size, (under.index + 1) * size) : code;
    const found = nearest(scene.codes, from, scene.digits ? NEIGHBOURS : 2 * NEIGHBOURS, under ? under.index : itsOwn);
    const told = panel.tell({place: at, code, axes: scene.axes, under: under && scene.digits[under.index],
      found: found.map(({index, distance}) => ({label: scene.labels[index], digit: scene.digits?.[index], distance}))});
    if (byKey) panel.say(told);
    mark(scene.digits ? [under, ...found].filter(Boolean).map(({index}) => index) : []);
    decode(Float32Array.from(code));
  }

  function mark(indices = []) {
    if (!scene) return;
    map.mark({
      yours: yours && scene.toPlace(yours.mean),
      cross: Boolean(at),
      outlines: yours?.variance ? [1, 2].map((sigmas) => scene.outline(yours.mean, yours.variance, sigmas)) : [],
      rings: indices.map((n) => [scene.points[2 * n], scene.points[2 * n + 1]]),
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

/** A button to come nearer, and one to go back. */
function zoomButtons(onZoom) {
  let zoom = 1;
  const step = (by) => onZoom(ZOOMS[ZOOMS.indexOf(zoom) + by]);
  const less = h("button", {type: "button", class: "quiet", disabled: true, "aria-label": "Zoom out", onclick: () => step(-1)}, "−");
  const more = h("button", {type: "button", class: "quiet", "aria-label": "Zoom in", onclick: () => step(1)}, "+");
  const told = h("output", {}, "1×");
  return {
    element: h("div", {class: "zoom", role: "group", "aria-label": "Zoom"}, less, told, more),
    zoom: () => zoom,
    show(next) {
      zoom = next;
      told.textContent = `${zoom}×`;
      less.disabled = zoom === ZOOMS[0];
      more.disabled = zoom === ZOOMS.at(-1);
    },
  };
}

/** Beside the map: what is decoded at the point, and which digits lie near. */
function sidePanel({itself, toDigit, open}) {
  const picture = tile("The digit decoded at the point", null, "large");
  const where = h("figcaption");
  const near = h("div", {class: "near"});
  const heading = h("h2");
  const said = h("p", {class: "unseen", role: "status"});
  const element = h("div", {class: "panel"},
    h("figure", {}, picture, where), h("div", {}, heading, near),
    h("div", {class: "tools"},
      h("button", {type: "button", class: "quiet", onclick: toDigit}, "Back to your digit"),
      h("button", {type: "button", class: "quiet", onclick: open}, "Open in the sliders")),
    said);
  return {
    element,
    decoded: (pixels) => draw(picture, pixels),
    empty() {
      draw(picture, null);
      where.textContent = "Draw a digit, take one, or move over the map.";
      heading.textContent = "";
      near.replaceChildren();
    },
    say: (text) => (said.textContent = text),
    /** Returns what it shows, in words. */
    tell({place, code, axes, under, found}) {
      const values = itself ? [...code].map((value, i) => `${axes[i] ?? `z${i + 1}`} = ${number(value)}`).join(", ") : "";
      where.textContent = place ? `Decoded ${values ? `at ${values}` : "at this point of the plane"}` : `Your digit, decoded${values ? ` at ${values}` : ""}`;
      const labels = found.map(({label}) => label);
      const counts = [...new Set(labels)].map((label) => [label, labels.filter((one) => one === label).length])
        .sort((a, b) => b[1] - a[1]);
      const words = counts.map(([label, count]) => `${count} × ${label}`).join(", ");
      if (under) {
        heading.textContent = `Nearest on the map: a ${under.class}`;
        near.replaceChildren(
          tile(under.label, under.pixels, "small"), h("p", {class: "note"}, "and nearest to that in all latents:"), tiles(found));
      } else if (found[0]?.digit) {
        heading.textContent = "Nearest test digits, in all latents";
        near.replaceChildren(tiles(found));
      } else {
        heading.textContent = `The ${found.length} nearest test digits`;
        near.replaceChildren(h("p", {class: "counts"}, counts.map(([label, count]) =>
          h("span", {}, `${count} × `, h("span", {class: `glyph label-${label}`}, label)))));
      }
      return `${where.textContent}. ${under ? `Nearest on the map a ${under.class}. ` : ""}Nearest: ${words}.`;
    },
  };
}

function tiles(found) {
  return h("div", {class: "neighbours"}, found.map(({label, digit, distance}) =>
    h("figure", {}, tile(digit.label, digit.pixels, "small"), h("figcaption", {}, h("span", {class: `glyph label-${label}`}, label), ` ${number(distance, 1)}`))));
}

function noteOf({share, labels, picture}, {latents}) {
  const ellipses = "The ellipses are the posterior of your digit, at 1 and 2 standard deviations.";
  if (share !== null) {
    return `The plane keeps ${Math.round(100 * share)} % of the variance of these codes: digits that are near here may be far apart in the other ${latents - 2} directions. Neighbours and their distances are of all ${latents}. ${ellipses}`;
  }
  const count = labels.length.toLocaleString("en");
  return `${count} test digits. ${picture ? "Axes are spaced by the prior's quantiles, so that equal areas are equally probable under it. " : ""}${ellipses}`;
}

function readPlace(text) {
  const place = text.split("~").map(Number);
  return place.length === 2 && place.every((value) => value >= 0 && value <= 1) ? place : null;
}
