// The playground's modules that need no browser: arrays as files, the coalescer, digits and the state in the address.

import assert from "node:assert/strict";
import {test} from "node:test";

globalThis.location = {hash: "#view=draw&seed=8"};
globalThis.addEventListener = () => {};
const written = [];
globalThis.history = {
  pushState: (_, __, address) => written.push(["push", address]),
  replaceState: (_, __, address) => written.push(["replace", address]),
};

const web = new URL("../../app/web/", import.meta.url);
const {coalesce} = await import(new URL("coalesce.js", web));
const {readNpy, readSafetensors, writeNpy} = await import(new URL("npy.js", web));
const {asCurl, asPython} = await import(new URL("snippets.js", web));
const digits = await import(new URL("digit.js", web));
const state = await import(new URL("state.js", web));

const bytes = (base64) => Uint8Array.from(Buffer.from(base64, "base64")).buffer;

// np.save of np.arange(6, dtype=np.float32).reshape(2, 3) / 4
const NUMPYS = "k05VTVBZAQB2AHsnZGVzY3InOiAnPGY0JywgJ2ZvcnRyYW5fb3JkZXInOiBGYWxzZSwgJ3NoYXBlJzogKDIsIDMpLCB9ICAg" +
  "ICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIAoAAAAAAACAPgAAAD8AAEA/AACAPwAAoD8=";

test("a file of NumPy's is read, and what is written is the same file", () => {
  const {shape, values} = readNpy(bytes(NUMPYS));
  assert.deepEqual(shape, [2, 3]);
  assert.deepEqual([...values], [0, 0.25, 0.5, 0.75, 1, 1.25]);
  assert.equal(Buffer.from(writeNpy(values, shape)).toString("base64"), NUMPYS);
  assert.throws(() => readNpy(bytes("AAAAAAAAAAAAAAAAAAAA")), /not a .npy file/);
});

test("a part of an array is written alone, and one dimension has its comma", () => {
  const part = Float32Array.from([9, 1, 2, 9]).subarray(1, 3);
  const {shape, values} = readNpy(writeNpy(part, [2]).buffer);
  assert.deepEqual([shape, [...values]], [[2], [1, 2]]);
});

test("safetensors are read by name, with what is told beside them", () => {
  const header = JSON.stringify({__metadata__: {seed: "7"}, latents: {dtype: "F32", shape: [1, 2], data_offsets: [0, 8]}});
  const file = new Uint8Array(8 + header.length + 8);
  new DataView(file.buffer).setBigUint64(0, BigInt(header.length), true);
  file.set(new TextEncoder().encode(header), 8);
  file.set(new Uint8Array(Float32Array.from([0.5, -2]).buffer), 8 + header.length);
  const {latents, metadata} = readSafetensors(file.buffer);
  assert.deepEqual([latents.shape, [...latents.values], metadata], [[1, 2], [0.5, -2], {seed: "7"}]);
});

test("never two at once, the last always, and a failure stops nothing", async () => {
  const worked = [];
  const failures = [];
  let running = 0;
  const take = coalesce(async (value) => {
    running++;
    assert.equal(running, 1);
    await new Promise((resolve) => setTimeout(resolve, 2));
    running--;
    if (value === 1) throw new Error("one");
    worked.push(value);
  }, (error) => failures.push(error.message));
  const first = take(0);
  take(0.5);
  take(1);
  await first;
  assert.deepEqual([worked, failures], [[0], ["one"]]);
  const second = take(2);
  for (let value = 3; value < 50; value++) take(value);
  await second;
  assert.deepEqual(worked, [0, 2, 49]);
});

test("floats in the address are exact, and what is none is refused", () => {
  const floats = Float32Array.from([0, -0.1, 3e38, 1e-40]);
  const text = state.packFloats(floats);
  assert.match(text, /^[\w-]+$/);
  assert.deepEqual(state.unpackFloats(text), floats);
  for (const bad of ["", "AAA", "%%", state.packFloats([NaN]), state.packFloats([Infinity])]) {
    assert.equal(state.unpackFloats(bad), null, bad);
  }
});

test("the address is read, changed at once where it is a step, and forgets what is empty", () => {
  assert.deepEqual([state.get("seed"), state.get("count", "36")], ["8", "36"]);
  state.set({seed: 9});
  assert.deepEqual(written, []); // a slider may call a hundred times a second
  state.set({view: "map", seed: null}, {push: true});
  assert.deepEqual(written, [["replace", "#view=draw&seed=9"], ["push", "#view=map"]]);
  state.set({view: "map"}, {push: true});
  assert.equal(written.length, 2);
});

test("a digit of pixels survives the address, of 256 levels", async () => {
  const pixels = Float32Array.from({length: 784}, (_, i) => (i % 9 === 0 ? (i % 256) / 255 : 0));
  const digit = digits.digitOfPixels(pixels, "mine");
  assert.deepEqual(digit.pixels, pixels);
  const again = await digits.digitOf(digit.source);
  assert.deepEqual([again.pixels, again.source], [pixels, digit.source]);
  const black = digits.digitOfPixels(new Float32Array(784));
  assert.ok(black.source.length < 16);
  assert.deepEqual((await digits.digitOf(black.source)).pixels, new Float32Array(784));
});

test("strokes survive the address; their pixels are the service's to make", async () => {
  const strokes = [[[0, 255], [17, 3]], Array.from({length: 300}, (_, i) => [i % 256, 255 - (i % 256)])];
  const {source} = digits.digitOfStrokes(strokes, new Float32Array(784));
  const again = await digits.digitOf(source);
  assert.deepEqual(again.strokes, strokes);
  assert.equal(again.pixels, null);
});

test("a source that tells of no digit gives none", async () => {
  for (const bad of ["p", "pAAAA", "s", "s%", "x123", ""]) assert.equal(await digits.digitOf(bad), null, bad);
});

test("a request is told without the key itself", () => {
  const request = {method: "POST", address: new URL("http://127.0.0.1:8000/v1/decode?model=m"), accept: "application/x-npy",
    json: () => ({latents: [[0.5]]}), keyed: true};
  for (const text of [asCurl(request), asPython(request)]) {
    assert.match(text, /http:\/\/127\.0\.0\.1:8000\/v1\/decode\?model=m/);
    assert.match(text, /\{"latents":\[\[0\.5\]\]\}/);
    assert.match(text, /REPARAM_KEY/);
    assert.match(text, /digits\.png/);
  }
});
