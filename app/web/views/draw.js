// What the model sees of the digit, what it makes of it, and how unusual it finds it.

import {draw, tile} from "../components/tile.js";
import {coalesce} from "../coalesce.js";
import {counted, h, number} from "../dom.js";

export const title = "Draw";
export const aboutDigit = true;
export const impossible = () => "";

export function lead({latents}) {
  return `Draw a digit on the sheet. The model squeezes its 784 pixels into ${counted(latents, "number")}, and draws it again from ` +
    "those alone. What comes back is what it has learned of handwriting.";
}

export function show(root, {card, api, signal, onDigit, failed, request}) {
  const seen = tile("What the model sees: no digit yet", null, "large");
  const rebuilt = tile("What the model draws: nothing yet", null, "large");
  const code = codeBars(card.latents);
  const novelty = noveltyScale(card);
  root.append(
    h("div", {class: "stages"},
      h("figure", {}, seen, h("figcaption", {}, "what the model sees")),
      code.element,
      h("figure", {}, rebuilt, h("figcaption", {}, "what it draws from its numbers"))),
    novelty.element);

  const look = coalesce(async (digit) => {
    draw(seen, digit?.pixels ?? null);
    seen.setAttribute("aria-label", digit ? `What the model sees of ${digit.label}` : "What the model sees: no digit yet");
    if (!digit) {
      draw(rebuilt, null);
      code.show(null);
      novelty.show(null);
      return;
    }
    const call = await api.reconstruct(digit.pixels, {signal});
    draw(rebuilt, call.pixels);
    rebuilt.dataset.of = digit.source;
    rebuilt.setAttribute("aria-label", `What the model draws of ${digit.label}`);
    request.show(call);
    const [encoded, scored] = await Promise.all([api.encode(digit.pixels, {signal}), api.score(digit.pixels, {signal})]);
    code.show(encoded.mean);
    novelty.show(scored);
    failed(null);
  }, failed);
  onDigit(look);
}

/** The numbers that the model keeps, a bar each: upwards what is above zero. */
function codeBars(latents) {
  const bars = Array.from({length: latents}, () => h("span"));
  const chart = h("div", {class: "code"}, bars);
  const words = h("figcaption", {}, counted(latents, "number"));
  const arrow = () => h("span", {class: "arrow"}, "→");
  return {
    element: h("div", {class: "through", "aria-hidden": "true"}, arrow(), h("figure", {}, chart, words), arrow()),
    show(mean) {
      const most = Math.max(3, ...(mean ?? []).map(Math.abs));
      bars.forEach((bar, k) => {
        const share = mean ? (50 * mean[k]) / most : 0;
        bar.style.setProperty("--top", `${50 - Math.max(share, 0)}%`);
        bar.style.setProperty("--height", `${Math.abs(share)}%`);
      });
    },
  };
}

/** A scale from 0 to 100: among the digits that the model was not trained on, where does this one stand? */
function noveltyScale(card) {
  const words = h("p", {class: "verdict", role: "status"});
  const marker = h("span", {class: "marker"});
  const scale = h("div", {class: "scale", "aria-hidden": "true"}, marker);
  const ends = h("div", {class: "ends caption", "aria-hidden": "true"}, h("span", {}, "as ordinary as can be"), h("span", {}, "unlike anything"));
  const detail = h("p", {class: "note"});
  const element = h("section", {class: "novelty", "aria-label": "Novelty"}, words, scale, ends, detail);
  return {
    element,
    show(scored) {
      element.classList.toggle("empty", !scored?.percentile);
      if (!scored) {
        words.textContent = "Draw a digit, or take one.";
        detail.textContent = "";
        return;
      }
      const percentile = scored.percentile?.[0];
      words.textContent = percentile === undefined
        ? "How unusual it is this model cannot tell: its checkpoint has nothing to compare with."
        : verdict(percentile);
      if (percentile !== undefined) marker.style.setProperty("left", `${percentile}%`);
      detail.textContent = terms(scored, card);
    },
  };
}

function verdict(percentile) {
  if (percentile >= 99.95) return "Unlike anything in the training data.";
  if (percentile >= 99) return `Very strange. Of 1,000 real digits, ${number(10 * percentile, 0)} are more ordinary.`;
  const told = `Of 100 real digits, ${number(percentile, 0)} are more ordinary.`;
  if (percentile >= 90) return `Unusual. ${told}`;
  if (percentile >= 60) return `A little unusual. ${told}`;
  return `An ordinary digit. ${told}`;
}

function terms({elbo, log_likelihood: likelihood, kl}, card) {
  const density = card.likelihood.kind === "bernoulli" ? "" : "; p is a density of grey pixels, which may be above 1";
  if (!elbo) return `log p(x|z) = ${number(likelihood[0], 1)} nats${density}`;
  return `ELBO ${number(elbo[0], 1)} nats = expected log p(x|z) ${number(likelihood[0], 1)} − KL from the prior ${number(kl[0], 1)}${density}`;
}
