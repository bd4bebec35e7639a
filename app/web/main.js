// The shell: the model, the views, and the digit that they are about.
//
// A VIEW is a module in views/ that exports
//   title                 its name in the navigation
//   lead(card)            a sentence or two, under the title: what is seen here
//   aboutDigit            whether it is about the user's digit: if so, the sheet to draw it on is beside it
//   impossible(card, cards)  why it cannot be shown of a model, in words; "" if it can (a card is an element of
//                         `GET /v1/models`: its `capabilities` tell), of which `cards` are all
//   show(root, context)   fills the empty element `root`; called anew when the view or the model changes, or the user
//                         goes back in history. What it adds outside of `root` it removes when `context.signal` aborts.
//
// The CONTEXT of a view:
//   card                  the model's
//   cards                 of every model
//   api                   the calls, answered by this model (api.js); `api.decode(latents, 1, {signal})`
//   state                 state.js: `state.get("seed", "7")`, `state.set({seed: 8})`; never the address bar itself
//   signal                an AbortSignal, which aborts when the view is left: pass it to calls and to addEventListener
//   onDigit(listener)     `listener(digit)` is called at once and whenever the user's digit changes; a digit is
//                         {source, pixels: Float32Array (784), label} (digit.js) or null: there is none
//   setDigit(digit)       make another digit the user's (digit.js: `digitOfPixels`)
//   go(view, changes)     go to another view, with `changes` of the state
//   failed(error, of)     say in place why a call failed; `failed(null, of)` takes back what was said of the same: one of
//                         several calls that do not wait for each other. Aborts are ignored.
//   request               the box below the view: `request.show(call)` with what a call resolved to

import {Problem, apiOf, models, onKeyNeeded, onModelGone, onTrouble} from "./api.js";
import {modelChooser} from "./components/models.js";
import {picker} from "./components/picker.js";
import {requestBox} from "./components/request.js";
import {testDigits} from "./digit.js";
import {h} from "./dom.js";
import * as state from "./state.js";
import * as between from "./views/between.js";
import * as draw from "./views/draw.js";
import * as map from "./views/map.js";
import * as noise from "./views/noise.js";
import * as posterior from "./views/posterior.js";
import * as samples from "./views/samples.js";

// In the order of the navigation. All are loaded at once: a view must open while the service cannot be reached.
const VIEWS = {__proto__: null, draw, posterior, samples, between, map, noise};
const FIRST_DIGIT = "t7"; // a real seven
const NO_DIGIT = "none";

const main = document.getElementById("main");
const aside = document.getElementById("digit");
let cards = [];
let card, defaultModel, api, chooser, sheet;
let relisting = null; // while the models are read anew
let digit = null;
let shown = null; // the source of what is on the sheet, which `digit` was made of
let listeners = new Set();
let leave = new AbortController();

onTrouble((text) => {
  const place = document.getElementById("trouble");
  place.textContent = text ?? "";
  place.classList.toggle("shown", Boolean(text));
});
onKeyNeeded(askForKey);
onModelGone(() => {
  relisting ??= relist().catch(console.error).finally(() => (relisting = null));
});
start().catch((error) => {
  if (!(error instanceof Problem)) console.error(error);
  main.replaceChildren(h("p", {class: "problem", role: "alert"}, `This page cannot start: ${error.message}.`));
});

async function start() {
  navigation();
  testDigits(); // which the first view needs as soon as it has a model
  list(await models());
  sheet = picker({api: {fit}, label: "Your digit", onDigit: (next) => setDigit(next, true)});
  aside.append(h("h2", {}, "Your digit"), sheet.element);
  state.onNavigation(open);
  await open();
}

/** Offer these models. */
function list(listed) {
  cards = listed.models;
  defaultModel = listed.default;
  // Latents and places among them are one model's own.
  chooser = modelChooser(cards, (name) => navigate({model: name, z: null, "map.at": null, "map.zoom": null}));
  document.getElementById("chooser").replaceChildren(chooser.element);
}

/** If the service's models are others now, begin anew with those. */
async function relist() {
  const listed = await models();
  const hashes = (some) => some.map(({name, sha256}) => `${name} ${sha256}`).join();
  if (hashes(listed.models) === hashes(cards)) return;
  list(listed);
  open(); // what it waits for may wait for this
}

/** What the model sees of a picture; where the service has others now, the one that answers instead. */
async function fit(...given) {
  const asked = api;
  try {
    return await asked.fit(...given);
  } catch (error) {
    await relisting;
    if (api === asked) throw error;
    return api.fit(...given);
  }
}

/** Show what the address says. */
async function open() {
  const wanted = state.get("model", defaultModel);
  card = cards.find(({name}) => name === wanted) ?? cards.find(({name}) => name === defaultModel);
  api = apiOf(card.name);
  chooser.show(card);
  listeners = new Set();
  showView();
  const source = state.get("digit", FIRST_DIGIT);
  if (source === shown) return;
  shown = null; // the sheet is on its way to another
  const found = await sheet.show(source === NO_DIGIT ? "" : source).catch((error) => {
    if (!(error instanceof Problem)) throw error;
    return null; // the link is of strokes that this service does not take
  });
  if (found === undefined || source !== state.get("digit", FIRST_DIGIT)) return; // the user has moved on meanwhile
  digit = found;
  shown = source;
  for (const listener of listeners) listener(digit);
}

function navigate(changes) {
  state.set(changes, {push: true});
  open();
}

function showView() {
  leave.abort();
  leave = new AbortController();
  const {signal} = leave;
  const name = state.get("view", "draw") in VIEWS ? state.get("view", "draw") : "draw";
  for (const link of document.querySelectorAll("#views a")) {
    link.toggleAttribute("aria-current", link.dataset.view === name);
    if (link.dataset.view === name) link.setAttribute("aria-current", "page");
  }
  const view = VIEWS[name];
  document.title = `${view.title} · Reparam`;
  aside.hidden = !view.aboutDigit;
  document.body.dataset.view = name;
  const root = h("div", {class: `view ${name}`});
  const why = h("p", {class: "problem", role: "alert", hidden: true});
  const reasons = new Map();
  const request = requestBox();
  const heading = h("h1", {}, view.title);
  const [, height, width] = card.input_shape;
  const impossible = height !== 28 || width !== 28
    ? `This page draws digits of 28 × 28 pixels, and ${card.name} takes ${height} × ${width}.`
    : view.impossible(card, cards);
  const wanted = state.get("model", card.name);
  const other = wanted === card.name ? "" : h("p", {class: "problem", role: "status"}, `${wanted} is not served here: ${card.name} answers instead.`);
  const lead = impossible ? "" : h("p", {class: "lead"}, view.lead(card));
  main.replaceChildren(heading, other, lead, why, root, request.element);
  if (impossible) {
    aside.hidden = true;
    root.append(h("p", {class: "impossible"}, impossible));
    return;
  }
  view.show(root, {
    card, cards, api, state, signal, request, setDigit,
    onDigit(listener) {
      listeners.add(listener);
      signal.addEventListener("abort", () => listeners.delete(listener));
      if (shown === state.get("digit", FIRST_DIGIT)) listener(digit);
    },
    go(next, changes = {}) {
      navigate({...changes, view: next});
      main.focus(); // what was clicked is gone
    },
    failed(error, of = "") {
      if (error && (signal.aborted || error.name === "AbortError")) return;
      if (error && !(error instanceof Problem)) console.error(error);
      if (error) reasons.set(of, error.message);
      else reasons.delete(of);
      why.hidden = !reasons.size;
      why.textContent = [...new Set(reasons.values())].join(" ");
    },
  });
}

/** `drawn`: the sheet shows it already. A digit that is not the old one has no latents chosen yet. */
function setDigit(next, drawn = false) {
  digit = next;
  shown = next ? next.source : NO_DIGIT;
  state.set({digit: shown, z: null});
  if (!drawn) sheet.show(next?.source ?? "");
  for (const listener of listeners) listener(digit);
}

function navigation() {
  const links = Object.entries(VIEWS).map(([name, {title}]) =>
    h("a", {href: `#view=${name}`, "data-view": name, onclick: (event) => {
      if (event.metaKey || event.ctrlKey || event.shiftKey) return;
      event.preventDefault();
      if (card) navigate({view: name});
    }}, title));
  document.getElementById("views").append(...links);
  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault(); // what is behind # is the state
    main.focus();
  });
}

function askForKey(wrong) {
  const dialog = document.getElementById("key");
  const text = document.getElementById("key-text");
  document.getElementById("key-why").textContent = wrong
    ? "The service did not take that key. Try another."
    : "It is kept in this tab, and forgotten when the tab is closed.";
  text.value = dialog.returnValue = "";
  dialog.showModal();
  dialog.oncancel = (event) => event.preventDefault();
  return new Promise((resolve) => {
    dialog.onclose = () => (dialog.returnValue ? resolve(text.value.trim()) : dialog.showModal());
  });
}
