// Lines over a common axis, each named at its end: told apart by their names and dashes, not by colour alone.

import {number, svg, uniqueId} from "../dom.js";

const [HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [220, 46, 100, 12, 42];

/**
 * Returns {element, show({x, across, lines, at, describe})}. x: [number, …], rising, and what they are; lines: [{name,
 * values, role}], the role "main", "other" or "base"; at: where on the x axis a rule stands, or null; `describe` tells in
 * words what the lines say, for who cannot see them.
 */
export function chart({label, decimals = 2, signal}) {
  const id = uniqueId("chart");
  const element = svg("svg", {class: "chart", role: "img", "aria-labelledby": id});
  let shown = null;
  const watch = new ResizeObserver(paint);
  watch.observe(element);
  signal.addEventListener("abort", () => watch.disconnect());

  function paint() {
    const width = Math.round(element.getBoundingClientRect().width);
    if (!shown || !width) return;
    const {x, across, lines, at = null, describe = ""} = shown;
    const top = niceAbove(Math.max(...lines.flatMap(({values}) => [...values])));
    const [first, last] = [x[0], x.at(-1)];
    const toX = (value) => LEFT + ((value - first) / (last - first || 1)) * (width - LEFT - RIGHT);
    const toY = (value) => HEIGHT - BOTTOM - (value / top) * (HEIGHT - TOP - BOTTOM);
    const ends = spread(lines.map(({values}) => toY(values.at(-1))), lines.map(({values}) => -mean(values)));
    element.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    element.replaceChildren(
      svg("title", {id}, `${label}. ${describe}`),
      ...[0, top / 2, top].flatMap((tick) => [
        svg("path", {class: "grid", d: `M${LEFT} ${toY(tick)}H${width - RIGHT}`}),
        svg("text", {x: LEFT - 8, y: toY(tick) + 4, class: "end"}, number(tick, decimals)),
      ]),
      ...[first, (first + last) / 2, last].map((tick) =>
        svg("text", {x: toX(tick), y: HEIGHT - BOTTOM + 18, class: "middle"}, String(Number(tick.toPrecision(3))))),
      svg("text", {x: (LEFT + width - RIGHT) / 2, y: HEIGHT - 6, class: "middle"}, across),
      ...(at === null ? [] : [svg("path", {class: "at", d: `M${toX(at)} ${TOP}V${HEIGHT - BOTTOM}`})]),
      ...lines.flatMap(({name, values, role}, i) => {
        const places = Array.from(values, (value, k) => `${toX(x[k]).toFixed(1)} ${toY(value).toFixed(1)}`);
        return [
          svg("path", {class: `line ${role}`, d: `M${places.join("L")}`}),
          svg("text", {x: width - RIGHT + 8, y: ends[i] + 4, class: "name"}, name),
        ];
      }),
    );
  }

  return {
    element,
    show(next) {
      shown = next;
      paint();
    },
  };
}

const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;

/** Places for names so that none covers another, in the order of the lines' ends; `ties` orders ends that agree. */
function spread(places, ties, least = 16) {
  const order = [...places.keys()].sort((a, b) => (Math.abs(places[a] - places[b]) > 1 ? places[a] - places[b] : ties[a] - ties[b]));
  const found = [...places];
  for (let k = 1; k < order.length; k += 1) found[order[k]] = Math.max(found[order[k]], found[order[k - 1]] + least);
  const over = Math.max(0, found[order.at(-1)] - (HEIGHT - BOTTOM));
  return found.map((place) => place - over);
}

/** The next round number. */
function niceAbove(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((n) => n * power).find((n) => n >= value * 0.999) ?? 10 * power;
}
