// The request behind what a view shows: how long it took, and itself, to copy as curl or as Python.

import {h, number} from "../dom.js";
import {asCurl, asPython} from "../snippets.js";

/** Returns {element, hide(), show(call)}: `call` is what a call of api.js resolved to. Cheap, so that a slider may call it. */
export function requestBox() {
  let request = null;
  const path = h("code");
  const time = h("span", {class: "time"});
  const curl = h("pre", {tabindex: 0, role: "region", "aria-label": "The request as curl"});
  const python = h("pre", {tabindex: 0, role: "region", "aria-label": "The request as Python"});
  const element = h("details", {class: "request", hidden: true, ontoggle: write},
    h("summary", {}, h("span", {class: "caption"}, "Request"), path, time),
    h("div", {class: "snippet"}, h("h3", {}, "curl"), copier("curl", () => asCurl(request)), curl),
    h("div", {class: "snippet"}, h("h3", {}, "Python"), copier("Python", () => asPython(request)), python),
    h("p", {class: "note"}, "The page sends and reads arrays as binary files; this is the same call in forms for people."),
  );

  function write() {
    if (!element.open || !request) return;
    curl.textContent = asCurl(request);
    python.textContent = asPython(request);
  }

  return {
    element,
    hide() {
      element.hidden = true;
    },
    show(call) {
      request = call.request;
      element.hidden = false;
      path.textContent = `${request.method} ${request.address.pathname}`;
      time.textContent = `${number(call.ms, call.ms < 10 ? 1 : 0)} ms`;
      write();
    },
  };
}

function copier(language, text) {
  const done = h("span", {role: "status"});
  const button = h("button", {type: "button", class: "quiet", "aria-label": `Copy as ${language}`, onclick: async () => {
    try {
      await navigator.clipboard.writeText(text());
      done.textContent = "Copied";
    } catch { // not on https or localhost: nothing may be copied, but the text can be selected
      done.textContent = "Select it below";
    }
    setTimeout(() => (done.textContent = ""), 2000);
  }}, "Copy");
  return h("div", {class: "tools"}, done, button);
}
