// Lines over a common axis, each named at its end: told apart by their names and dashes, not by colour alone.

import {number, uniqueId} from "../dom.js";

const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [640, 220, 46, 120, 12, 42];
const SVG = "http://www.w3.org/2000/svg";

/**
 * Returns {element, show({x, across, lines, at, describe})}. x: [number, …], rising, and what they are; lines: [{name,
 * values, role}], the role "main", "other" or "base"; at: where on the x axis a rule stands, or null; `describe` tells in
 * words what the lines say, for who cannot see them.
 */
export function chart({label, decimals = 2}) {
  const id = uniqueId("chart");
  const element = svg("svg", {class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-labelledby": id});
  return {
    element,
    show({x, across, lines, at = null, describe = ""}) {
      const top = niceAbove(Math.max(...lines.flatMap(({values}) => [...values])));
      const [first, last] = [x[0], x.at(-1)];
      const toX = (value) => LEFT + ((value - first) / (last - first || 1)) * (WIDTH - LEFT - RIGHT);
      const toY = (value) => HEIGHT - BOTTOM - (value / top) * (HEIGHT - TOP - BOTTOM);
      const parts = [svg("title", {id}, `${label}. ${describe}`)];
      for (const tick of [0, top / 2, top]) {
        parts.push(svg("path", {class: "grid", d: `M${LEFT} ${toY(tick)}H${WIDTH - RIGHT}`}));
        parts.push(svg("text", {x: LEFT - 8, y: toY(tick) + 4, class: "end"}, number(tick, decimals)));
      }
      for (const tick of [first, (first + last) / 2, last]) {
        parts.push(svg("text", {x: toX(tick), y: HEIGHT - BOTTOM + 18, class: "middle"}, shortNumber(tick)));
      }
      parts.push(svg("text", {x: (LEFT + WIDTH - RIGHT) / 2, y: HEIGHT - 6, class: "middle axis"}, across));
      if (at !== null) parts.push(svg("path", {class: "at", d: `M${toX(at)} ${TOP}V${HEIGHT - BOTTOM}`}));
      const ends = spread(lines.map(({values}) => toY(values.at(-1))), lines.map(({values}) => -mean(values)));
      lines.forEach(({name, values, role}, i) => {
        const points = Array.from(values, (value, k) => `${toX(x[k]).toFixed(1)} ${toY(value).toFixed(1)}`);
        parts.push(svg("path", {class: `line ${role}`, d: `M${points.join("L")}`}));
        parts.push(svg("text", {x: WIDTH - RIGHT + 8, y: ends[i] + 4, class: "name"}, name));
      });
      element.replaceChildren(...parts);
    },
  };
}

const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;

/** Places for names so that none covers another, in the order of the lines' own; `ties` orders those that agree. */
function spread(places, ties, least = 16) {
  const order = [...places.keys()].sort((a, b) => (Math.abs(places[a] - places[b]) > 1 ? places[a] - places[b] : ties[a] - ties[b]));
  const found = [...places];
  for (let k = 1; k < order.length; k += 1) {
    found[order[k]] = Math.max(found[order[k]], found[order[k - 1]] + least);
  }
  const over = Math.max(0, found[order.at(-1)] - (HEIGHT - BOTTOM));
  return found.map((place) => place - over);
}

/** The next of 1, 2, 5 times a power of ten. */
function niceAbove(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((n) => n * power).find((n) => n >= value * 0.999) ?? 10 * power;
}

const shortNumber = (value) => String(Number(value.toPrecision(3)));

function svg(name, attributes, text) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}
