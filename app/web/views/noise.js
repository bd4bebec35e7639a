// A digit under noise, and what models make of it: above all one that was trained to take noise away.

import {apiOf} from "../api.js";
import {coalesce} from "../coalesce.js";
import {chart} from "../components/chart.js";
import {draw, nth, tile} from "../components/tile.js";
import {h, number} from "../dom.js";
import {gaussian, masking, squaredError} from "../math/noise.js";

const KINDS = {
  __proto__: null,
  gaussian: {corrupt: gaussian, name: "Gaussian", most: 1, amount: (value) => `σ = ${number(value)}`,
    across: "σ of the noise", about: "Noise of that standard deviation is added to every pixel, and clipped to 0..1."},
  masking: {corrupt: masking, name: "Masking", most: 0.95, amount: (value) => `${Math.round(100 * value)} % of the pixels`,
    across: "share of pixels put out", about: "Pixels are put out, each with that probability."},
};
const DEFAULT = {amount: 0.5, seed: 1};
const CURVE = 20; // amounts of the chart besides 0

export const title = "Noise";
export const aboutDigit = true;
export const lead = ({kind}) =>
  `A denoising autoencoder sees digits under noise and learns to give back the clean ones. Add some, and ${kind === "dae"
    ? "watch it go; to compare, choose a model above that never saw any." : "compare it with a model that never saw any."}`;
export const impossible = () => "";

export function show(root, {card, cards, api, state, signal, onDigit, failed, request}) {
  const cleaner = card.kind === "dae" ? card : cards.find(({kind}) => kind === "dae");
  const models = [...new Set([cleaner, card])].filter(Boolean).map(({name, kind}) => ({
    name, api: name === card.name ? api : apiOf(name), cleans: kind === "dae",
  }));
  let digit = null;
  const kindOf = () => KINDS[state.get("noise.kind")] ?? KINDS.gaussian;
  const seedOf = () => (Number(state.get("noise.seed", DEFAULT.seed)) || 0) >>> 0;
  const amountOf = () => Math.min(Math.max(Number(state.get("noise.amount", DEFAULT.amount)) || 0, 0), kindOf().most);

  const clean = panel("The digit");
  const noisy = panel("With noise");
  const made = models.map(({name, cleans}) => panel(`${cleans ? "Cleaned" : "Reconstructed"} by ${name}`));
  const curve = chart({label: "Squared error by the amount of noise", signal});
  const curveText = h("figcaption", {class: "note"},
    "Squared error to the clean digit, a pixel. Where a model's line is below that of the noise, it helps.");
  const empty = h("p", {hidden: true}, "Draw a digit, or take one.");
  const shown = h("div", {},
    h("div", {class: "panels"}, clean.element, noisy.element, made.map(({element}) => element)),
    h("figure", {class: "curve"}, curve.element, curveText));
  root.append(
    controls(), empty, shown,
    ...(cleaner ? [] : [h("p", {class: "note"}, "No denoising autoencoder is served here: mnist-dae is one.")]),
  );

  let drawn = null; // of which digit, noise and models the chart is
  let lines = null;
  const work = coalesce(async () => {
    shown.hidden = !digit;
    empty.hidden = Boolean(digit);
    if (!digit) return;
    const {source, pixels: x} = digit;
    const y = kindOf().corrupt(x, amountOf(), seedOf());
    clean.show(x, "", "", digit.label);
    const before = squaredError(y, x);
    noisy.show(y, `squared error ${number(before, 4)}`);
    const after = [];
    for (const [i, model] of models.entries()) {
      const call = await model.api.reconstruct(y, {signal});
      if (i === 0) request.show(call);
      after.push(squaredError(call.pixels, x));
      made[i].show(call.pixels, `squared error ${number(after[i], 4)}`, before > 0 ? left(after[i] / before) : "");
    }
    failed(null);
    await curves(source, x);
  }, failed);

  /** The chart, anew where it is of something else; otherwise only its rule moves. */
  async function curves(source, x) {
    const kind = kindOf();
    const key = `${source} ${kind.name} ${seedOf()}`;
    if (drawn !== key) {
      const amounts = Array.from({length: CURVE + 1}, (_, i) => (kind.most * i) / CURVE);
      const under = new Float32Array(amounts.length * 784);
      amounts.forEach((amount, i) => under.set(kind.corrupt(x, amount, seedOf()), i * 784));
      const errors = (pixels) => amounts.map((_, i) => squaredError(nth(pixels, i), x));
      lines = [{name: "the noise", role: "base", values: errors(under)}];
      for (const {name, api, cleans} of models) {
        const {pixels} = await api.reconstruct(under, {signal});
        lines.push({name, role: cleans ? "main" : "other", values: errors(pixels)});
      }
      lines.x = amounts;
      drawn = key;
    }
    const told = ({name, values}) => `${name}: ${number(values[CURVE / 2], 3)} half way, ${number(values.at(-1), 3)} at the end`;
    curve.show({x: lines.x, lines, at: amountOf(), across: kind.across, describe: lines.map(told).join("; ")});
  }

  onDigit((next) => {
    digit = next;
    work();
  });

  function controls() {
    const told = h("span", {class: "value", "aria-hidden": "true"}, kindOf().amount(amountOf())); // a slider tells its own value
    const about = h("p", {class: "note"}, kindOf().about);
    const slider = h("input", {id: "amount", type: "range", min: 0, max: kindOf().most, step: 0.01, value: amountOf(),
      "aria-valuetext": told.textContent, oninput: () => set({"noise.amount": slider.value})});
    const seed = h("input", {id: "noise-seed", type: "number", min: 0, max: 2 ** 32 - 1, step: 1, value: seedOf(),
      oninput: () => seed.value && seed.validity.valid && set({"noise.seed": seed.value}),
      onchange: () => {
        if (seed.reportValidity()) seed.value = seedOf(); // 1e3 is written out, and nothing is the last one
      }});
    const kinds = Object.entries(KINDS).map(([value, {name}]) => h("label", {},
      h("input", {type: "radio", name: "noise-kind", value, checked: KINDS[value] === kindOf(),
        onchange: () => set({"noise.kind": value})}), name));

    function set(changes) {
      state.set(changes);
      slider.max = kindOf().most;
      slider.value = amountOf();
      told.textContent = kindOf().amount(amountOf());
      slider.setAttribute("aria-valuetext", told.textContent);
      about.textContent = kindOf().about;
      work();
    }

    return h("div", {class: "controls"},
      h("fieldset", {class: "choice"}, h("legend", {}, "Noise"), kinds),
      h("div", {class: "field wide"}, h("label", {for: "amount"}, "Amount ", told), slider, about),
      h("div", {class: "field"}, h("label", {for: "noise-seed"}, "Seed"),
        h("div", {class: "tools"}, seed, h("button", {type: "button", class: "quiet", onclick: () => {
          seed.value = crypto.getRandomValues(new Uint32Array(1))[0] % 1000;
          set({"noise.seed": seed.value});
        }}, "Other noise"))));
  }

  function panel(name) {
    const canvas = tile(name, null, "large");
    const [error, share] = [h("span", {class: "error"}), h("span", {class: "share"})];
    return {
      element: h("figure", {}, canvas, h("figcaption", {}, h("strong", {}, name), error, share)),
      show(pixels, text, more = "", of = "") {
        draw(canvas, pixels);
        canvas.setAttribute("aria-label", of ? `${name}: ${of}` : [name, text, more].filter(Boolean).join(", "));
        error.textContent = text;
        share.textContent = more;
      },
    };
  }
}

/** What a model left of the noise's squared error, in words. */
function left(share) {
  if (share > 1) return `${number(share, 1)} times that of the noise`;
  return share < 0.01 ? "less than 1 % of the noise left" : `${Math.round(100 * share)} % of the noise left`;
}
