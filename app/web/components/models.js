// Which model answers, and its card.

import {h, number} from "../dom.js";

const KINDS = {
  vae: "variational autoencoder", ae: "vanilla autoencoder", dae: "denoising autoencoder",
  linear: "linear autoencoder (probabilistic PCA)",
};

const DENSITY = ", as a density of grey pixels: not to be compared with a probability of black and white ones";

/** What a kind of model is called. */
export function kindOf(card) {
  const kind = KINDS[card.kind] ?? card.kind;
  return card.prior?.kind === "flow" ? `${kind}, its prior a normalizing flow` : kind;
}

/** cards: of every model. Returns {element, show(card)}; `onModel(name)` is called when the user picks one. */
export function modelChooser(cards, onModel) {
  const select = h("select", {id: "model", onchange: () => onModel(select.value)},
    cards.map((card) => h("option", {value: card.name}, card.name)));
  const short = h("span", {class: "short"});
  const facts = h("dl", {class: "facts"});
  const element = h("div", {class: "model"},
    h("label", {for: "model", class: "caption"}, "Model"), select,
    h("details", {class: "card"}, h("summary", {}, short), facts));
  return {
    element,
    show(card) {
      select.value = card.name;
      short.textContent = [kindOf(card), `${card.latents} latents`, ...figures(card)].join(" · ");
      facts.replaceChildren(...rows(card).flatMap(([term, value]) => [h("dt", {}, term), h("dd", {}, value)]));
    },
  };
}

function figures({metrics, likelihood}) {
  const found = [];
  if (metrics.test_nll_nats !== undefined && likelihood.kind === "bernoulli") found.push(`NLL ${number(metrics.test_nll_nats, 1)} nats`);
  if (metrics.fid !== undefined) found.push(`FID ${number(metrics.fid)}`);
  return found;
}

function rows(card) {
  const {metrics, training, input_shape: [, height, width]} = card;
  const dense = card.likelihood.kind !== "bernoulli";
  const of = (value, text) => (value === undefined || value === null ? null : text(value));
  return [
    ["Kind", kindOf(card)],
    ["Sizes", `${height} × ${width} pixels, ${card.latents} latents, ${card.parameters.toLocaleString("en")} parameters`],
    ["Active latents", of(metrics.active_units, (n) => `${n} of ${card.latents}`)],
    ["NLL", of(metrics.test_nll_nats, (n) => `${number(n)} nats a test digit${dense ? DENSITY : ""}`)],
    ["FID", of(metrics.fid, (n) => `${number(n)} (real digits: ${number(metrics.fid_floor ?? 0)})`)],
    ["Reconstruction", of(metrics.reconstruction_mse, (n) => `squared error of ${number(n, 4)} a pixel`)],
    ["Trained on", of(training.data, (data) => `${data}${training.images ? `: ${training.images.toLocaleString("en")} images` : ""}`)],
    ["Can", card.capabilities.join(", ")],
    ["sha256", h("code", {}, card.sha256)],
  ].filter(([, value]) => value !== null);
}
