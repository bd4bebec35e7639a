// The one module that calls the service.
//
// Every call returns its data together with `request`, what was asked (snippets.js says it as curl and as Python), and
// `ms`, how long it took. An array travels as .npy or safetensors, whose numbers nobody has to print and parse.
//
// A call ends with its answer or throws a Problem, which says in words what was wrong with it. What passes by itself, a
// service that cannot be reached, is overloaded or counts too many calls, is told to `onTrouble` and tried again, but for a
// file that takes too long to send; a key that is missing is asked for.

import {readNpy, readSafetensors, writeNpy} from "./npy.js";

const KEY = "reparam-key"; // of the tab's storage
const NPY = "application/x-npy";
const PNG = "image/png";
const SAFETENSORS = "application/vnd.safetensors";
const PASSING = new Set([408, 429, 502, 503, 504]);
const LONGEST_WAIT_S = 5;
const GONE_S = 40; // longer than the service takes for anything: a connection that is dead without saying so
const LARGE_BYTES = 100_000; // of a file that a slow connection may not send in the time that there is for it
const SLOW_S = 10; // when such a file was being sent until it failed: a service that is not there fails sooner
const TOO_SLOW = "This picture could not be sent in time. Choose a smaller one, or try again on a faster connection.";

/** Why a call cannot be answered: `message` says it, `status` and `type` are the service's. */
export class Problem extends Error {
  constructor({detail, title, status, type}) {
    super(detail || title || `the service answered ${status}`);
    Object.assign(this, {title, status, type});
  }
}

const troubled = new Set();
let trouble = null;
let askForKey = async () => "";
let modelGone = () => {};
let asking = null;
const sleepers = new Set();

/** `listener(text)`: what keeps the service from answering, and again with null when it answers. */
export function onTrouble(listener) {
  troubled.add(listener);
}

/** `ask(wrong)` resolves to a key; `wrong`: the last one was refused. */
export function onKeyNeeded(ask) {
  askForKey = ask;
}

/** `listener()`: the service does not have the model that was asked for, or no longer. */
export function onModelGone(listener) {
  modelGone = listener;
}

let heldKey = null; // where the browser keeps nothing

function storedKey() {
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return heldKey;
  }
}

function storeKey(key) {
  heldKey = key;
  try {
    sessionStorage.setItem(KEY, key);
  } catch {} // it is asked for again when the page is loaded again
}

/** The calls that a model answers. */
export function apiOf(model) {
  const images = (pixels, count) => ({values: pixels, shape: [count, 28, 28], json: () => pixelsJson(pixels)});
  const latents = (values, count) => ({
    values, shape: [count, values.length / count], json: () => ({latents: rows(values, count)}),
  });
  return {
    model,

    /** pixels: Float32Array of N images one after another -> {mean, variance or null: Float32Array (N * Z)}. */
    encode(pixels, options) {
      return inParts(pixels, pixels.length / 784, async (part, count) => {
        const call = await post("encode", images(part, count), {accept: SAFETENSORS, ...options});
        const {mean, variance} = readSafetensors(call.data);
        return {...call, mean: mean.values, variance: variance?.values ?? null};
      });
    },

    /** latents: Float32Array of `count` vectors -> {pixels: Float32Array (count * 784)}. */
    decode(values, count = 1, options) {
      return inParts(values, count, async (...part) => withPixels(await post("decode", latents(...part), {accept: NPY, ...options})));
    },

    /** -> {pixels}, of N images. */
    reconstruct(pixels, options) {
      return inParts(pixels, pixels.length / 784, async (...part) =>
        withPixels(await post("reconstruct", images(...part), {accept: NPY, ...options})));
    },

    /** -> {elbo, log_likelihood, kl, percentile}: Float32Array (N) each, or null. */
    async score(pixels, options) {
      const call = await post("score", images(pixels, pixels.length / 784), {accept: SAFETENSORS, ...options});
      const found = readSafetensors(call.data);
      const column = (name) => found[name]?.values ?? null;
      return {...call, elbo: column("elbo"), log_likelihood: column("log_likelihood"), kl: column("kl"),
        percentile: column("percentile")};
    },

    /** query: {count, seed, temperature} -> {pixels, latents: Float32Array, seed}. */
    async sample(query, options) {
      const call = await send({path: "v1/sample", query: {model, ...query}, accept: SAFETENSORS, ...options});
      const found = readSafetensors(call.data);
      return {...call, pixels: found.images.values, latents: found.latents.values, seed: Number(found.metadata.seed)};
    },

    /** pixels: of two images; query: {steps, path} -> {pixels, latents}, of `steps` images. */
    async interpolate(pixels, query, options) {
      const call = await post("interpolate", images(pixels, 2), {query, accept: SAFETENSORS, ...options});
      const found = readSafetensors(call.data);
      return {...call, pixels: found.images.values, latents: found.latents.values};
    },

    /** Of a model of two latents -> {mean: [[x, y], …], labels: [digit, …]}. */
    async map(options) {
      const call = await send({path: `v1/models/${model}/map`, accept: "application/json", ...options});
      return {...call, ...documentOf(call.data)};
    },

    /** Of a model of two latents -> {blob}: a PNG of size x size digits, at the quantiles of the prior. */
    async mapPicture(query, options) {
      return withPicture(await send({path: `v1/models/${model}/map`, query, accept: PNG, ...options}));
    },

    /** file: a Blob of any picture -> {pixels (784)}: what the model sees of it. */
    async fit(file, options) {
      const body = new FormData();
      body.append("images", file, "picture");
      return withPixels(await send({path: "v1/fit", method: "POST", query: {model}, accept: NPY, body, large: file.size > LARGE_BYTES, ...options}));
    },

    /** Samples as the picture that the service draws of them -> {blob}. */
    async samplePicture(query, options) {
      return withPicture(await send({path: "v1/sample", query: {model, ...query}, accept: PNG, ...options}));
    },
  };

  function post(name, {values, shape, json}, {query, ...options}) {
    const body = writeNpy(values, shape);
    return send({path: `v1/${name}`, method: "POST", query: {model, ...query}, type: NPY, body, json, ...options});
  }
}

/** Whether a call asked for more than the service gives at once. */
export const isTooMuch = ({type}) => /:(limit-exceeded|body-too-large)$/.test(type);

/**
 * What `ask(values, count)` resolves to, of all of `count` rows: if they are too many at once, of one half and of the other,
 * with the arrays of both put together.
 */
async function inParts(values, count, ask) {
  try {
    return await ask(values, count);
  } catch (error) {
    if (count < 2 || !isTooMuch(error)) throw error;
  }
  const half = count >> 1;
  const cut = (half * values.length) / count;
  const first = await inParts(values.subarray(0, cut), half, ask);
  const rest = await inParts(values.subarray(cut), count - half, ask);
  const joined = Object.entries(rest).filter(([, part]) => part instanceof Float32Array)
    .map(([name, part]) => [name, concatenated(first[name], part)]);
  return {...first, ms: first.ms + rest.ms, ...Object.fromEntries(joined)};
}

function concatenated(first, rest) {
  const whole = new Float32Array(first.length + rest.length);
  whole.set(first);
  whole.set(rest, first.length);
  return whole;
}

/** The models' cards -> {default, models}. */
export async function models() {
  const call = await send({path: "v1/models", accept: "application/json"});
  return {...call, ...documentOf(call.data)};
}

/** A file of this page, a .npy.gz -> {shape, values}. */
export async function webArray(name) {
  const {data} = await send({path: `web/${name}`, accept: "application/gzip"});
  const unpacked = new Blob([data]).stream().pipeThrough(new DecompressionStream("gzip"));
  return readNpy(await new Response(unpacked).arrayBuffer());
}

/**
 * Ask until there is an answer. `json`: a function to what the body would be as JSON, for who reads the request.
 * A body that is `large` is not sent again where it took too long.
 * Returns {data: ArrayBuffer, request, ms}. Throws Problem, or AbortError if `signal` says so.
 */
async function send({path, method = "GET", query = {}, type, accept, body, large = false, json, signal}) {
  const address = new URL(path, document.baseURI);
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== null) address.searchParams.set(name, value);
  }
  for (let attempt = 0; ; attempt++) {
    const key = storedKey();
    const headers = {Accept: accept};
    if (type) headers["Content-Type"] = type;
    if (key) headers.Authorization = `Bearer ${key}`;
    const began = performance.now();
    let answer, data;
    try {
      answer = await fetch(address, {method, headers, body, signal: orTooLong(signal)});
      data = await answer.arrayBuffer();
    } catch (error) {
      if (signal?.aborted) throw error;
      if (large && performance.now() - began > SLOW_S * 1000) throw new Problem({detail: TOO_SLOW, status: 408});
      await again("The service cannot be reached.", Math.min(0.5 * 2 ** attempt, LONGEST_WAIT_S), signal);
      continue;
    }
    if (answer.status === 401) {
      recovered();
      if (key === storedKey()) await newKey(Boolean(key));
      continue;
    }
    if (large && answer.status === 408) throw new Problem({detail: TOO_SLOW, status: 408});
    if (PASSING.has(answer.status)) {
      const told = Number(answer.headers.get("Retry-After"));
      const wait = Math.max(told || 0, Math.min(0.5 * 2 ** attempt, LONGEST_WAIT_S));
      await again(`${problemOf(data, answer.status).title ?? "The service is overloaded"}.`, wait, signal);
      continue;
    }
    recovered();
    if (!answer.ok) {
      const problem = new Problem(problemOf(data, answer.status));
      if (problem.type?.endsWith(":model-not-found")) modelGone();
      throw problem;
    }
    return {data, ms: performance.now() - began, request: {method, address, accept, json, keyed: Boolean(key)}};
  }
}

function orTooLong(signal) {
  const tooLong = AbortSignal.timeout(GONE_S * 1000);
  return signal ? AbortSignal.any([signal, tooLong]) : tooLong;
}

async function newKey(wrong) {
  asking ??= askForKey(wrong).finally(() => (asking = null));
  storeKey(await asking);
}

/** Say what is wrong, and wait; less if another call gets through, or the network comes back. */
function again(what, seconds, signal) {
  tell(`${what} Trying again${seconds >= 2 ? ` in ${Math.ceil(seconds)} seconds` : ""} …`);
  return new Promise((resolve, reject) => {
    const wake = () => {
      clearTimeout(timer);
      sleepers.delete(wake);
      resolve();
    };
    const timer = setTimeout(wake, seconds * 1000);
    sleepers.add(wake);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      if (sleepers.delete(wake) && !sleepers.size) tell(null); // nobody asks any more
      reject(signal.reason);
    }, {once: true});
  });
}

function recovered() {
  if (trouble === null) return;
  tell(null);
  for (const wake of [...sleepers]) wake();
}

function tell(text) {
  trouble = text;
  for (const listener of troubled) listener(text);
}

addEventListener("online", () => [...sleepers].forEach((wake) => wake()));

function problemOf(data, status) {
  try {
    return {status, ...documentOf(data)};
  } catch {
    return {status};
  }
}

function documentOf(data) {
  return JSON.parse(new TextDecoder().decode(data));
}

function withPicture(call) {
  return {...call, blob: new Blob([call.data], {type: PNG})};
}

function withPixels(call) {
  return {...call, pixels: readNpy(call.data).values};
}

function rows(values, count) {
  const width = values.length / count;
  return Array.from({length: count}, (_, i) => Array.from(values.subarray(i * width, (i + 1) * width)));
}

function pixelsJson(pixels) {
  const short = Array.from(pixels, (value) => Number(value.toFixed(3)));
  return {pixels: Array.from({length: pixels.length / 784}, (_, i) => short.slice(i * 784, (i + 1) * 784))};
}
