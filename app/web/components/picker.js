// How to say which digit is meant: draw it, give a picture file, or click a real one.

import {Problem} from "../api.js";
import {coalesce} from "../coalesce.js";
import {digitOf, digitOfPixels, digitOfStrokes, testDigits} from "../digit.js";
import {h} from "../dom.js";
import {pad, strokesFile} from "./pad.js";
import {tile} from "./tile.js";

const AT_ONCE = 10; // test digits, one of each class
const takers = new WeakMap(); // of an element of a picker: what takes a picture file
let lastUsed = null; // of these elements

/**
 * `signal` aborts when the picker is left. `onDigit(digit)` is called with every digit that the user chooses, and while one
 * is drawn; with null when the sheet is cleared. `onChoice()` is called as soon as one is chosen, before the service has
 * seen it. Returns {element, show(source): shows the digit that a source tells of, and resolves to it, to null where there
 * is none, or to undefined where another was chosen meanwhile}.
 */
export function picker({api, label, onDigit, onChoice = () => {}, signal}) {
  const sheet = pad({signal, onStrokes: (strokes) => {
    choose(sheet);
    name(strokes.length ? "your drawing" : "nothing");
    fitStrokes(strokes);
  }});
  const said = h("p", {class: "said", role: "status"});
  const told = h("p", {class: "unseen", role: "status"});
  const file = h("input", {type: "file", accept: "image/*", class: "unseen", "aria-label": `${label}: a picture file`,
    onchange: () => {
      if (file.files[0]) take(file.files[0]);
      file.value = ""; // the same file, mended, may be chosen again
    }});
  const undo = h("button", {type: "button", class: "quiet", onclick: () => sheet.undoable() && sheet.undo()}, "Undo");
  const clear = h("button", {type: "button", class: "quiet", onclick: () => sheet.clear()}, "Clear");
  const row = h("div", {class: "examples", role: "group", "aria-label": `${label}: real test digits`});
  let first = 0;
  let chosen = null; // the last choice: what comes late of an earlier one is left
  let sending = new AbortController(); // of the last choice's picture
  const others = h("button", {type: "button", class: "quiet", onclick: () => turn(AT_ONCE)}, "Others");
  const element = h("div", {class: "picker"},
    h("div", {class: "sheet"}, sheet.element, h("p", {class: "hint", "aria-hidden": "true"}, "draw a digit")),
    h("div", {class: "tools"}, undo, clear, h("label", {class: "button quiet"}, "Picture …", file)),
    said, told,
    h("div", {class: "tools"}, h("p", {class: "caption"}, "or take a real one"), others),
    row,
  );
  turn(0);
  name("nothing");

  const fitStrokes = coalesce(async (strokes) => {
    if (chosen !== sheet) return;
    say("");
    element.classList.toggle("empty", !strokes.length);
    if (!strokes.length) return onDigit(null);
    const {pixels} = await api.fit(await strokesFile(strokes));
    if (chosen === sheet) onDigit(digitOfStrokes(strokes, pixels));
  }, (error) => chosen === sheet && failed(error));

  async function take(given) {
    const mine = choose({});
    const leave = sending.signal;
    say("");
    try {
      const bytes = await given.arrayBuffer().catch(() => null); // of a folder, or of a file that has changed
      if (chosen !== mine) return;
      if (!bytes) return say("This file cannot be read. Choose it again, or another.");
      const {pixels} = await api.fit(new Blob([bytes]), {signal: leave});
      if (chosen !== mine) return;
      if (!pixels.some(Boolean)) return say("This picture is blank: nothing on it stands out from its background.");
      const digit = digitOfPixels(pixels, given.name ? `the picture ${given.name}` : "a picture");
      // What the service reads and the browser does not, TIFF say, is shown as the service sees it.
      const picture = await createImageBitmap(given).catch(() => null);
      if (chosen !== mine) return;
      sheet.show(picture ? {picture} : {pixels: digit.pixels});
      element.classList.remove("empty");
      tell(digit.label);
      onDigit(digit);
    } catch (error) {
      if (chosen === mine) failed(error);
    }
  }

  async function turn(by) {
    const digits = await testDigits();
    first = (first + by) % digits.length;
    row.replaceChildren(...digits.slice(first, first + AT_ONCE).map((digit) =>
      h("button", {type: "button", class: "digit", title: digit.label, "aria-label": digit.label, onclick: () => {
        choose(digit);
        say("");
        sheet.show({pixels: digit.pixels});
        element.classList.remove("empty");
        tell(digit.label);
        onDigit(digit);
      }}, tile("", digit.pixels))));
    for (const canvas of row.querySelectorAll("canvas")) canvas.setAttribute("aria-hidden", "true");
  }

  function failed(error) {
    if (!(error instanceof Problem)) console.error(error);
    say(error.message);
  }

  function say(text) {
    said.textContent = text;
  }

  function choose(what) {
    onChoice();
    if (what !== chosen) {
      sending.abort();
      sending = new AbortController();
    }
    return (chosen = what);
  }

  /** What is on the sheet, for who cannot see it. */
  function name(what) {
    sheet.element.setAttribute("aria-label", `${label}: ${what}. Draw here with a mouse, a finger or a pen`);
    undo.setAttribute("aria-disabled", String(!sheet.undoable()));
  }

  function tell(what) {
    name(what);
    told.textContent = `${label}: ${what}`;
  }

  takers.set(element, take);
  for (const use of ["pointerdown", "focusin"]) element.addEventListener(use, () => (lastUsed = element));
  element.addEventListener("dragover", () => element.classList.add("dropping"));
  element.addEventListener("dragleave", () => element.classList.remove("dropping"));
  element.addEventListener("drop", () => {
    element.classList.remove("dropping");
    lastUsed = element; // the drop goes on to the page, below
  });
  return {
    element,
    async show(source) {
      const mine = choose({});
      const found = source ? await digitOf(source) : null;
      if (chosen !== mine) return undefined;
      if (!found) {
        sheet.show({});
        name("nothing");
        element.classList.add("empty");
        return null;
      }
      element.classList.remove("empty");
      sheet.show(found.strokes ? {strokes: found.strokes} : {pixels: found.pixels});
      name(found.label);
      if (found.pixels) return found;
      const {pixels} = await api.fit(await strokesFile(found.strokes));
      return chosen === mine ? digitOfStrokes(found.strokes, pixels) : undefined;
    },
  };
}

/** Give a picture to the picker that was used last, or to the first that is there. */
function give(picture) {
  const there = [...document.querySelectorAll(".picker")].filter((element) => element.checkVisibility());
  takers.get(there.includes(lastUsed) ? lastUsed : there[0])?.(picture);
}

// A picture that is dropped beside a picker is meant for one too; left alone, the browser would open it instead.
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  const [given] = event.dataTransfer.files;
  if (given) give(given);
});
addEventListener("paste", (event) => {
  const [given] = [...(event.clipboardData?.files ?? [])].filter(({type}) => type.startsWith("image/"));
  if (given) {
    event.preventDefault();
    give(given);
  }
});
