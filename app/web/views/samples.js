// Digits that nobody wrote: noise from N(0, I), decoded.

import {coalesce} from "../coalesce.js";
import {draw, nth, tile} from "../components/tile.js";
import {digitOfPixels} from "../digit.js";
import {counted, h, number, uniqueId} from "../dom.js";
import {writeNpy} from "../npy.js";
import {packFloats} from "../state.js";

export const title = "Samples";
export const aboutDigit = false;

const COUNTS = [16, 36, 64, 100];
const SEED = "7";

export function lead(card) {
  const way = card.prior?.kind === "flow" ? "which its flow turns into latents and its decoder into digits" : "which its decoder turns into digits";
  return `Nobody wrote these. The model is given noise from N(0, I), ${counted(card.latents, "number")} a digit, ${way}. The same ` +
    "seed gives the same digits, on any machine.";
}

export function impossible(card, cards) {
  if (card.generative) return "";
  const able = cards.filter(({generative}) => generative).map(({name}) => name);
  return `${card.name} is a deterministic autoencoder. Nothing in its training controls how its codes are distributed, so ` +
    "noise decodes to nothing in particular, and the service refuses to sample from it (409 not-generative). " +
    (able.length ? `Of the models above, these can: ${able.join(", ")}.` : "None of the models here can.");
}

export function show(root, {card, api, state, signal, go, failed, request}) {
  const count = h("select", {onchange: () => change({count: count.value})},
    COUNTS.map((n) => h("option", {value: n}, n)));
  const seed = h("input", {type: "number", min: 0, max: Number.MAX_SAFE_INTEGER, step: 1, onchange: () => {
    if (!seed.reportValidity()) return; // what is shown stays of the last one
    seed.value = seed.value ? Number(seed.value) : SEED; // 1e3 is written out
    change({seed: seed.value});
  }});
  const temperature = h("input", {type: "range", min: 0, max: 2, step: 0.05,
    oninput: () => {
      sliding = true;
      change({temperature: temperature.value});
    },
    onchange: () => {
      sliding = false;
      tell();
    }});
  const warmth = h("span");
  const grid = h("div", {class: "grid", role: "group", "aria-label": "Samples"});
  const said = h("p", {class: "unseen", role: "status"});
  let drawn = null;
  let sliding = false; // what passes by meanwhile is not told
  count.value = COUNTS.map(String).includes(state.get("count")) ? state.get("count") : 36;
  const told = state.get("seed");
  let lastSeed = seed.value = /^\d+$/.test(told) && Number.isSafeInteger(Number(told)) ? told : SEED;
  temperature.value = state.get("temperature", "1");

  root.append(
    h("div", {class: "controls"},
      field("How many", count),
      field("Seed", seed, h("button", {type: "button", onclick: another}, "Another")),
      field("Temperature", temperature, warmth, h("span", {class: "note"}, "lower is safer, higher is wilder"))),
    grid, said,
    h("p", {class: "caption"}, "Click one to open it in the sliders."),
    h("div", {class: "tools downloads"},
      h("button", {type: "button", disabled: true, onclick: downloadPicture}, "Download PNG"),
      h("button", {type: "button", disabled: true, onclick: downloadLatents}, "Download latents (.npy)")));

  const redraw = coalesce(async (query) => {
    const call = await api.sample(query, {signal});
    drawn = {...call, query};
    for (const button of root.querySelectorAll(".downloads button")) button.disabled = false;
    if (grid.childElementCount !== query.count) {
      grid.replaceChildren(...Array.from({length: query.count}, (_, i) => {
        const picture = tile("", null);
        picture.setAttribute("aria-hidden", "true");
        return h("button", {type: "button", class: "digit", "aria-label": `Sample ${i + 1}: open it in the sliders`, onclick: () => open(i)}, picture);
      }));
    }
    grid.querySelectorAll("canvas").forEach((canvas, i) => draw(canvas, nth(call.pixels, i)));
    grid.dataset.seed = query.seed;
    if (!sliding) tell();
    request.show(call);
    failed(null);
  }, failed);
  change({});

  function change(changes) {
    state.set(changes);
    lastSeed = changes.seed ?? lastSeed;
    warmth.textContent = number(Number(temperature.value));
    temperature.setAttribute("aria-valuetext", warmth.textContent);
    redraw({count: Number(count.value), seed: lastSeed, temperature: Number(temperature.value)});
  }

  function tell() {
    if (!drawn) return;
    const {count, seed, temperature} = drawn.query;
    said.textContent = `${count} samples of seed ${seed} at temperature ${temperature}`;
  }

  function another() {
    seed.value = Math.floor(Math.random() * 1e6);
    change({seed: seed.value});
  }

  function open(i) {
    const latents = drawn.latents.subarray(i * card.latents, (i + 1) * card.latents);
    go("posterior", {digit: digitOfPixels(nth(drawn.pixels, i)).source, z: packFloats(latents)});
  }

  async function downloadPicture() {
    const {query} = drawn;
    try {
      const {blob} = await api.samplePicture({...query, scale: 4}, {signal});
      download(blob, `seed-${query.seed}.png`);
      failed(null);
    } catch (error) {
      failed(error);
    }
  }

  function downloadLatents() {
    const {count: rows, seed} = drawn.query;
    download(new Blob([writeNpy(drawn.latents, [rows, card.latents])]), `seed-${seed}.npy`);
  }

  function download(blob, name) {
    const link = h("a", {href: URL.createObjectURL(blob), download: `${card.name}-${name}`});
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  }
}

function field(label, control, ...beside) {
  control.id = uniqueId("field");
  return h("div", {class: "field"}, h("label", {for: control.id}, label), h("div", {class: "tools"}, control, beside));
}
