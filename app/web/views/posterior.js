// The posterior of the digit: what every latent says of it, and what becomes of the digit if it said something else.

import {coalesce} from "../coalesce.js";
import {REACH, STOPS, latentRow} from "../components/latent.js";
import {draw, nth, tile} from "../components/tile.js";
import {h, number} from "../dom.js";
import {drawFrom, klByLatent, priorOf} from "../prior.js";
import {packFloats, unpackFloats} from "../state.js";

export const title = "Posterior";
export const aboutDigit = true;
export const impossible = () => "";

const AT_ONCE = 8; // latents that are shown before more are asked for
const SILENT = 0.01; // nats: a latent that says less of the digit is inactive
const DRAWS = 8;

export function lead(card) {
  const each = card.latents === 1 ? "its one latent" : `each of its ${card.latents} latents`;
  return card.generative
    ? `For this digit the model believes in a range of values for ${each}. Move one, and ` +
      "see what it stands for."
    : `This model keeps one value for ${each}, without a variance: it is deterministic. ` +
      "Move one, and see what it stands for.";
}

export function show(root, {card, api, state, signal, onDigit, failed, request}) {
  const now = tile("What the sliders decode to", null, "large now");
  const caption = h("figcaption");
  const draws = h("div", {class: "tiles", role: "group", "aria-label": "Draws from the posterior"});
  const drawsNote = h("p", {class: "caption", role: "status"});
  const mean = card.generative ? "the mean" : "its code"; // a deterministic model's code is no mean of anything
  const toMean = button(`Back to ${mean}`, () => ready() && moveTo(posterior.mean));
  const fromPosterior = button("Draw from the posterior", () => {
    state.set({draws: randomSeed()});
    drawPosterior();
  });
  const fromPrior = button("Draw from the prior", drawPrior);
  const basis = h("p", {class: "note basis"});
  const list = h("div", {class: "latents"});
  const figure = h("figure", {}, now, caption);
  const stage = h("div", {class: "stage"},
    figure, h("div", {class: "actions"}, h("div", {class: "tools"}, toMean, fromPosterior, fromPrior), draws, drawsNote));
  root.append(stage, basis, list);
  // One of the two stays in sight, and what is focused must not lie under it.
  const watch = new ResizeObserver(() =>
    root.style.setProperty("--covered", `${Math.max(stage.offsetHeight, figure.offsetHeight)}px`));
  for (const element of [stage, figure]) watch.observe(element);
  signal.addEventListener("abort", () => watch.disconnect());
  fromPosterior.hidden = fromPrior.hidden = !card.generative;

  let current = null; // the digit that is chosen; until it is encoded, `posterior` is of another
  let posterior = null; // {digit, mean, variance}
  let prior = null;
  let z = null;
  let rows = [];
  let wanted = null; // where the sliders were last asked to go, and `drawing`, which draws were last asked for:
  let drawing = null; // what comes late of an earlier wish is left

  // Decode where the sliders are, and, once they rest, what each of them would change.
  const redraw = coalesce(async (settled) => {
    if (!ready()) return;
    const here = z;
    const call = await api.decode(here, 1, {signal});
    if (!ready()) return; // another digit was chosen meanwhile, or none
    draw(now, call.pixels);
    request.show(call);
    const moved = here.some((value, k) => value !== posterior.mean[k]);
    caption.textContent = moved ? "decoded from the sliders" : `decoded from ${mean}`;
    toMean.setAttribute("aria-disabled", String(!moved)); // `disabled` would take the focus away from who presses it
    state.set({z: moved ? packFloats(here) : null});
    if (settled) await redrawStrips(here);
    failed(null);
  }, failed);

  const look = coalesce(async (digit) => {
    root.classList.toggle("waiting", !digit);
    if (!digit) {
      posterior = null;
      list.replaceChildren(h("p", {}, "Draw a digit, or take one."));
      return;
    }
    prior = await priorOf(card, api);
    const call = await api.encode(digit.pixels, {signal});
    posterior = {digit, mean: call.mean, variance: call.variance};
    const told = unpackFloats(state.get("z"));
    z = told?.length === card.latents ? told : posterior.mean.slice();
    describe();
    build();
    await redraw(true);
    if (card.generative) await drawPosterior();
  }, failed);
  onDigit((digit) => {
    current = digit;
    wanted = drawing = null;
    look(digit);
  });

  function ready() {
    return posterior !== null && posterior.digit === current;
  }

  function moveTo(latents) {
    wanted = z = Float32Array.from(latents);
    for (const row of rows) row.set(z[row.k]);
    redraw(true);
  }

  async function redrawStrips(here) {
    const seen = rows.filter((row) => row.element.checkVisibility());
    const latents = new Float32Array(seen.length * STOPS * here.length);
    seen.forEach((row, r) => row.stops.forEach((stop, i) => {
      const at = (r * STOPS + i) * here.length;
      latents.set(here, at);
      latents[at + row.k] = stop;
    }));
    const {pixels} = await api.decode(latents, seen.length * STOPS, {signal});
    seen.forEach((row, r) => row.drawStrip(pixels.subarray(r * STOPS * 784, (r + 1) * STOPS * 784)));
  }

  async function drawPosterior() {
    if (!ready()) return;
    const mine = (drawing = {});
    const drawn = drawFrom(posterior, DRAWS, Number(state.get("draws", "1")) || 0);
    try {
      const {pixels} = await api.decode(drawn, DRAWS, {signal});
      if (drawing !== mine) return;
      draws.replaceChildren(...Array.from({length: DRAWS}, (_, i) => {
        const picture = tile("", nth(pixels, i), "small");
        picture.setAttribute("aria-hidden", "true");
        return h("button", {type: "button", class: "digit", "aria-label": `Draw ${i + 1}: into the sliders`,
          onclick: () => moveTo(drawn.slice(i * card.latents, (i + 1) * card.latents))}, picture);
      }));
      drawsNote.textContent = "Eight codes from the posterior: each of them fits this digit. Click one for the sliders.";
      failed(null, "draws");
    } catch (error) {
      failed(error, "draws");
    }
  }

  async function drawPrior() {
    if (!ready()) return;
    const mine = (wanted = {});
    try {
      const {latents} = await api.sample({count: 1, seed: randomSeed()}, {signal});
      failed(null, "prior");
      if (wanted === mine) moveTo(latents);
    } catch (error) {
      failed(error, "prior");
    }
  }

  function describe() {
    basis.textContent = {
      normal: `Each slider goes from −${REACH} to ${REACH} standard deviations of the prior, N(0, 1), the pale hill. The ` +
        "steep one is the posterior: what is left of it once the digit is seen. Above are the digits along the way. First " +
        "comes what differs most from the prior: the nats are its KL divergence, what the latent says of this digit.",
      draws: `This model's prior is a normalizing flow, under which a latent is not N(0, 1). Each slider goes ${REACH} ` +
        `standard deviations to either side of the mean of ${prior.count} draws from the prior. The steep hill is the ` +
        "posterior; the nats are its KL divergence from a normal distribution of that mean and deviation, the pale hill, " +
        "which is a likeness only.",
      digits: "This model has no prior and no variance, so nothing says how far a latent may go. Each slider goes " +
        `${REACH} standard deviations to either side of the mean of the codes of ${prior.count} real digits, the pale ` +
        "hill; the tick is this digit's code. First comes what lies furthest from that mean.",
    }[prior.of];
  }

  function build() {
    const informed = posterior.variance !== null;
    const says = informed
      ? klByLatent(posterior, prior)
      : Float32Array.from(posterior.mean, (mean, k) => Math.abs(mean - prior.mean[k]) / prior.sigma[k]);
    const order = Array.from(says.keys()).sort((a, b) => says[b] - says[a]);
    rows = order.map((k) => latentRow({
      k,
      prior: {mean: prior.mean[k], sigma: prior.sigma[k]},
      posterior: {mean: posterior.mean[k], sigma: informed ? Math.sqrt(posterior.variance[k]) : null},
      weight: informed ? `${number(says[k])} nats` : `${number(says[k], 1)} σ away`,
      onMove(value, settled) {
        wanted = z = z.slice();
        z[k] = value;
        redraw(settled);
      },
    }));
    for (const row of rows) row.set(z[row.k]);
    const active = informed ? order.filter((k) => says[k] >= SILENT).length : order.length;
    const rest = rows.slice(AT_ONCE, active);
    const silent = rows.slice(active);
    const sum = (some) => some.reduce((total, {k}) => total + says[k], 0);
    list.replaceChildren(h("ol", {}, rows.slice(0, Math.min(AT_ONCE, active)).map(({element}) => element)));
    if (rest.length) list.append(fold(`${rest.length} more${informed ? `, ${number(sum(rest), 1)} nats together` : ""}`, rest));
    if (silent.length) list.append(fold(`${silent.length} inactive: each says less than ${SILENT} nats of this digit`, silent));
  }

  function fold(text, some) {
    return h("details", {class: "more", ontoggle: (event) => event.target.open && redraw(true)},
      h("summary", {}, text), h("ol", {}, some.map(({element}) => element)));
  }
}

function randomSeed() {
  return Math.floor(Math.random() * 1e6);
}

function button(text, onclick) {
  return h("button", {type: "button", onclick}, text);
}
