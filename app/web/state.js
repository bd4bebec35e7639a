// The state of the page, all of it in the address behind `#`, so that a link opens the page as it was.
//
// Names are flat. The shell's own: view, model, digit. A view has its others, with its name before them if another
// could want the same: `between.steps`. Values are text; floats go through `packFloats`.

let values = new URLSearchParams(location.hash.slice(1));
const listeners = new Set();

/** The value of a name, or what it is when it is not said. */
export function get(name, otherwise = "") {
  return values.get(name) ?? otherwise;
}

/** Set some names; null or "" forgets one. `push` makes a step that the browser's Back undoes. */
export function set(changes, {push = false} = {}) {
  const next = new URLSearchParams(values);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === "") next.delete(name);
    else next.set(name, String(value));
  }
  if (next.toString() === values.toString()) return;
  write(next, push);
}

/** `listener()` is called when the user goes back or forth, or edits the address; not after `set`. */
export function onNavigation(listener) {
  listeners.add(listener);
}

addEventListener("hashchange", () => {
  const now = new URLSearchParams(location.hash.slice(1));
  if (now.toString() === values.toString()) return;
  values = now;
  for (const listener of listeners) listener();
});

// Browsers refuse more than some hundred changes of the address in half a minute: a slider that moves makes more.
let timer = null;
let written = 0;
function write(next, push) {
  if (push) {
    flush(); // Back leads to where the user was, not to where the address had got to
    values = next;
    history.pushState(null, "", `#${values}`);
  } else {
    values = next;
    timer ??= setTimeout(flush, Math.max(0, written + 400 - Date.now()));
  }
}

function flush() {
  if (timer === null) return;
  clearTimeout(timer);
  timer = null;
  written = Date.now();
  history.replaceState(null, "", `#${values}`);
}
addEventListener("pagehide", flush);

/** Floats <-> text of the address, exactly. */
export function packFloats(floats) {
  const array = Float32Array.from(floats);
  return packBytes(new Uint8Array(array.buffer));
}

/** -> Float32Array, or null if the text is of no such floats. */
export function unpackFloats(text) {
  const bytes = unpackBytes(text);
  if (!bytes || !bytes.length || bytes.length % 4) return null;
  const floats = new Float32Array(bytes.slice().buffer);
  return floats.every(Number.isFinite) ? floats : null;
}

/** Bytes <-> base64 that needs no escape in an address. */
export function packBytes(bytes) {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** -> Uint8Array, or null if the text is no such base64. */
export function unpackBytes(text) {
  try {
    return Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
  } catch {
    return null;
  }
}
