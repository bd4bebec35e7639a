// Arrays as files: NumPy's .npy and safetensors, to and from typed arrays.

const MAGIC = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59]; // \x93NUMPY
const TYPES = {"<f4": Float32Array, "|u1": Uint8Array, "<f2": Uint16Array, "<i8": BigInt64Array};
const SAFE = {F32: Float32Array, U8: Uint8Array};

/** Bytes of a .npy file -> {shape, values}; values is a typed array in C order. */
export function readNpy(buffer) {
  const bytes = new Uint8Array(buffer);
  if (MAGIC.some((byte, i) => bytes[i] !== byte)) throw new Error("not a .npy file");
  const length = new DataView(buffer).getUint16(8, true);
  const header = new TextDecoder().decode(bytes.subarray(10, 10 + length));
  const type = TYPES[/'descr':\s*'([^']+)'/.exec(header)?.[1]];
  const shape = /'shape':\s*\(([^)]*)\)/.exec(header)?.[1];
  if (!type || shape === undefined) throw new Error(`a .npy file of another kind: ${header}`);
  return {shape: shape.split(",").filter((n) => n.trim()).map(Number), values: new type(buffer.slice(10 + length))};
}

/** A Float32Array or Uint8Array of a shape -> the bytes of a .npy file. */
export function writeNpy(values, shape) {
  const descr = values instanceof Uint8Array ? "|u1" : "<f4";
  const text = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${shape.join(", ")}${shape.length === 1 ? "," : ""}), }`;
  const length = Math.ceil((10 + text.length + 1) / 64) * 64 - 10;
  const file = new Uint8Array(10 + length + values.byteLength);
  file.set([...MAGIC, 1, 0, length & 255, length >> 8]);
  file.set(new TextEncoder().encode(text.padEnd(length - 1) + "\n"), 10);
  file.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength), 10 + length);
  return file;
}

/** Bytes of a safetensors file -> {name: {shape, values}, …, metadata: {name: text}}. */
export function readSafetensors(buffer) {
  const length = Number(new DataView(buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
  const found = {metadata: header.__metadata__ ?? {}};
  delete header.__metadata__;
  for (const [name, {dtype, shape, data_offsets: [from, to]}] of Object.entries(header)) {
    if (SAFE[dtype]) found[name] = {shape, values: new SAFE[dtype](buffer.slice(8 + length + from, 8 + length + to))};
  }
  return found;
}
