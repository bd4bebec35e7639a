// Elements, in fewer words.

/**
 * h("button", {class: "quiet", type: "button", onclick: f, "aria-label": "Undo"}, "Undo", child, …)
 * Properties that begin with `on` are listeners; true and false set and leave out an attribute; null leaves it out.
 */
export function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** An element of SVG; its attributes are no styles, which the page's policy would refuse. */
export function svg(name, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/** Number for a reader: as many decimals as are asked for, a real minus. */
export function number(value, decimals = 2) {
  return value.toFixed(decimals).replace(/^-(0\.?0*)$/, "$1").replace("-", "−");
}

let last = 0;
/** An id that no other element has. */
export function uniqueId(prefix = "id") {
  return `${prefix}-${++last}`;
}

/** "1 number", "50 numbers". */
export function counted(count, noun) {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
