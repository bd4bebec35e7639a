// From one digit to another, through the codes that lie between.

import {coalesce} from "../coalesce.js";
import {chart} from "../components/chart.js";
import {picker} from "../components/picker.js";
import {player} from "../components/player.js";
import {draw, nth, tile} from "../components/tile.js";
import {digitOfPixels} from "../digit.js";
import {h, number} from "../dom.js";

const DEFAULT = {steps: 16, b: "t2"};

export const title = "Between two digits";
export const aboutDigit = false;
export const lead = (card) =>
  `${card.name} encodes both digits, walks from one code to the other in equal steps, and decodes every stop on the way.`;
export const impossible = (card) =>
  card.capabilities.includes("interpolate") ? "" : `${card.name} cannot interpolate: it can ${card.capabilities.join(", ")}.`;

export function show(root, {card, api, state, signal, onDigit, failed, request}) {
  const ends = {a: null, b: null};
  let yours = null;
  const pathOf = () => (card.generative && state.get("between.path") === "spherical" ? "spherical" : "linear");
  const stepsOf = () => Math.min(Math.max(Math.round(Number(state.get("between.steps", DEFAULT.steps))) || 0, 2), 64);

  const at = state.get("between.at") === "" ? null : Number(state.get("between.at")) || 0;
  const film = player({
    label: "The picture on the way", start: at, signal, onFrame: (index) => state.set({"between.at": index}),
  });
  const strip = h("div", {class: "strip", role: "img"});
  film.element.addEventListener("frame", ({detail}) => {
    [...strip.children].forEach((one, i) => one.classList.toggle("current", i === detail));
  });
  strip.addEventListener("click", ({target}) => {
    const index = [...strip.children].indexOf(target);
    if (index >= 0) film.stand(index);
  });
  const norms = chart({label: "How far the code is from the origin", decimals: 1, signal});
  const why = h("p", {class: "note"}, card.generative
    ? "Linear is straight in the latents; spherical is a great circle in the prior's noise."
    : `Spherical is for models with a prior: the codes of ${card.name} come from no noise in which a great circle could lie.`);
  const distances = h("figure", {class: "norms", hidden: true}, norms.element,
    h("figcaption", {class: "note"}, "How far the code is from the origin on the way. The draws of a standard normal prior " +
      "all lie nearly as far out as each other: a straight line cuts through the inside, a great circle goes around it."));
  const missing = h("p", {hidden: true, role: "status"}, "Draw a digit on either sheet, or take one.");
  const [first, second] = ["a", "b"].map(end);
  root.append(
    h("div", {class: "ends"},
      first.element, h("div", {class: "way"}, missing, film.element, h("div", {class: "choices"}, paths(), steps(), why)), second.element),
    strip,
    distances,
  );

  const work = coalesce(async () => {
    missing.hidden = Boolean(ends.a && ends.b);
    film.element.hidden = !missing.hidden;
    if (film.element.hidden) {
      strip.replaceChildren();
      distances.hidden = true;
      request.hide();
      return failed(null);
    }
    const pixels = new Float32Array([...ends.a.pixels, ...ends.b.pixels]);
    const call = await api.interpolate(pixels, {steps: stepsOf(), path: pathOf()}, {signal});
    failed(null);
    request.show(call);
    const count = call.pixels.length / 784;
    strip.setAttribute("aria-label", `From ${ends.a.label} to ${ends.b.label} in ${count} pictures`);
    strip.style.setProperty("--count", Math.min(count, 32));
    while (strip.children.length > count) strip.lastChild.remove();
    while (strip.children.length < count) {
      strip.append(tile("One of the pictures"));
      strip.lastChild.setAttribute("aria-hidden", "true"); // the strip has a name for all
    }
    [...strip.children].forEach((canvas, i) => draw(canvas, nth(call.pixels, i)));
    film.show(call.pixels, count);
    showNorms(call.latents, count);
  }, failed);

  onDigit((digit) => {
    yours = digit;
    for (const button of root.querySelectorAll(".mine")) button.disabled = !yours;
    if (!state.get("between.a")) first.take(digit);
  });
  if (state.get("between.a")) first.open(state.get("between.a"));
  second.open(state.get("between.b", DEFAULT.b));

  /** One of the two: its sheet, and ways to fill it besides. */
  function end(name) {
    const letter = name.toUpperCase();
    let last = null; // the last choice: what comes late of an earlier one is left
    const sheet = picker({api, label: letter, signal, onDigit: (digit) => choose(digit), onChoice: () => (last = null)});
    const extra = h("div", {class: "tools"},
      h("button", {type: "button", class: "quiet mine", disabled: true, onclick: () => choose(yours, true)}, "Your digit"),
      card.generative
        ? h("button", {type: "button", class: "quiet", onclick: sample}, "A sample")
        : null);
    const element = h("section", {class: "end", "aria-label": letter}, h("h2", {}, letter), sheet.element, extra);

    function choose(digit, drawIt = false) {
      ends[name] = digit;
      state.set({[`between.${name}`]: digit ? digit.source : "none"});
      if (drawIt) sheet.show(digit.source).catch(failed);
      work();
    }

    async function sample() {
      const mine = (last = {});
      try {
        const call = await api.sample({count: 1}, {signal});
        failed(null);
        if (last === mine) choose(digitOfPixels(call.pixels, `a digit that ${card.name} drew`), true);
      } catch (error) {
        failed(error);
      }
    }

    return {
      element,
      /** A digit that is there already, without a word in the address. */
      take(digit) {
        ends[name] = digit;
        sheet.show(digit?.source ?? "").catch(failed);
        work();
      },
      async open(source) {
        try {
          const found = await sheet.show(source === "none" ? "" : source);
          if (found === undefined) return;
          ends[name] = found;
          work();
        } catch (error) {
          failed(error);
        }
      },
    };
  }

  function paths() {
    const way = (value, text, disabled = false) => h("label", {class: disabled ? "disabled" : ""},
      h("input", {type: "radio", name: "path", value, checked: pathOf() === value, disabled, onchange: () => {
        state.set({"between.path": value});
        work();
      }}), text);
    return h("fieldset", {class: "choice"}, h("legend", {}, "Path"),
      way("linear", "Linear"), way("spherical", "Spherical", !card.generative));
  }

  function steps() {
    const told = h("span", {class: "value", "aria-hidden": "true"}, stepsOf()); // a slider tells its own value
    const slider = h("input", {id: "steps", type: "range", min: 2, max: 64, step: 1, value: stepsOf(), oninput: () => {
      told.textContent = slider.value;
      state.set({"between.steps": slider.value});
      work();
    }});
    return h("div", {class: "field"}, h("label", {for: "steps"}, "Steps ", told), slider);
  }

  /** The lengths of the codes on either path, of which the two ends tell. */
  function showNorms(latents, count) {
    distances.hidden = card.prior?.kind !== "standard-normal";
    const size = latents.length / count;
    const [a, b] = [latents.subarray(0, size), latents.subarray(-size)];
    const x = Array.from({length: count}, (_, i) => i / (count - 1));
    const straight = x.map((t) => Math.hypot(...a.map((value, i) => (1 - t) * value + t * b[i])));
    const around = x.map((t) => (1 - t) * Math.hypot(...a) + t * Math.hypot(...b));
    const line = (name, values) => ({name, values, role: name === pathOf() ? "main" : "other"});
    norms.show({x, across: "share of the way from A to B", lines: [line("linear", straight), line("spherical", around)],
      describe: `From ${number(straight[0], 1)} to ${number(straight.at(-1), 1)}; ` +
        `the linear path comes as near as ${number(Math.min(...straight), 1)}`});
  }
}
