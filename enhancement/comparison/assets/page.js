"use strict";
// Fills the page from the JSON beside it. Every text goes in by textContent: names are never markup.

const data = JSON.parse(document.getElementById("data").textContent);
const get = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const DASHES = ["", "7 4", "2 3", "9 3 2 3"];

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

function draw(tag, attributes = {}, text = "") {
  const node = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.textContent = text;
  return node;
}

const colour = (index) => `var(--c${index % 6})`;
const dash = (index) => DASHES[Math.floor(index / 6) % DASHES.length];

// Table

function swatch(index) {
  return make("span", { class: "swatch", style: `background: ${colour(index)}`, "aria-hidden": "true" });
}

function breakable(name) {
  const parts = name.split(/(?<=[_/-])/);
  return parts.flatMap((part, i) => (i ? [make("wbr"), part] : [part]));
}

function bestValue(column) {
  const values = data.rows.filter((r) => !r.baseline).map((r) => r.cells[column.key].value);
  const known = values.filter((v) => v !== null);
  if (!column.best || known.length < 2) return null;
  return column.best === "high" ? Math.max(...known) : Math.min(...known);
}

function fillTable() {
  const head = make("tr");
  const body = get("scores").tBodies[0];
  data.columns.forEach((column, index) => {
    const button = make("button", { type: "button" }, column.title.replace(/ (\d+x\d+)$/, "\n$1"));
    button.addEventListener("click", () => sortBy(index));
    head.append(make("th", { scope: "col" }, button));
  });
  get("scores").tHead.append(head);
  const best = data.columns.map(bestValue);
  for (const row of data.rows) {
    const line = make("tr", row.baseline ? { class: "baseline" } : {});
    data.columns.forEach((column, index) => {
      const { text, spread, value } = row.cells[column.key];
      const cell = index ? make("td", {}, text) : make("th", { scope: "row" }, ...breakable(text));
      if (!index && !row.baseline) cell.prepend(swatch(row.index));
      if (spread) cell.append(make("small", {}, ` ± ${spread}`));
      if (best[index] !== null && value === best[index] && !row.baseline) cell.className = "best";
      line.append(cell);
    });
    line.cells_ = row.cells;
    body.append(line);
  }
}

function sortBy(index) {
  const column = data.columns[index];
  const heads = [...get("scores").tHead.rows[0].cells];
  const before = heads[index].getAttribute("aria-sort");
  const first = column.best === "high" ? "descending" : "ascending";
  const other = first === "ascending" ? "descending" : "ascending";
  const order = before === first ? other : first;
  heads.forEach((head) => head.removeAttribute("aria-sort"));
  heads[index].setAttribute("aria-sort", order);
  const sign = order === "ascending" ? 1 : -1;
  const body = get("scores").tBodies[0];
  const rows = [...body.rows].sort((a, b) => {
    const [x, y] = [a, b].map((line) => line.cells_[column.key]);
    if (column.text) return sign * x.text.localeCompare(y.text);
    if (x.value === null || y.value === null) return (x.value === null) - (y.value === null);
    return sign * (x.value - y.value);
  });
  body.append(...rows);
}

// Pictures

const shown = { image: 0, left: "input", right: "gt" };

const picture = (key, image = data.images[shown.image]) => image.pictures[key];

function option(key, label, select) {
  select.append(make("option", { value: key }, label));
}

function about(key) {
  const scores = data.images[shown.image].scores[key];
  const label = data.choices.find((choice) => choice.key === key).label;
  return scores ? `${label}: ${scores}` : label;
}

function showPictures() {
  for (const side of ["left", "right"]) {
    const node = get(`image-${side}`);
    node.src = picture(shown[side]) || "";
    node.style.visibility = picture(shown[side]) ? "" : "hidden";
    node.alt = `${data.images[shown.image].name}: ${about(shown[side])}`;
    get(`about-${side}`).textContent =
      about(shown[side]) + (picture(shown[side]) ? "" : " (no picture kept)");
  }
  const { width, height } = data.images[shown.image];
  const stage = document.querySelector(".stage");
  stage.style.aspectRatio = `${width} / ${height}`;
  stage.style.maxWidth = `calc(78vh * ${width / height})`;
  [...get("thumbnails").children].forEach((button, index) =>
    button.setAttribute("aria-pressed", String(index === shown.image)));
}

function fillPictures() {
  if (!data.images.length) return;
  get("pictures").hidden = false;
  for (const side of ["left", "right"]) {
    for (const choice of data.choices) option(choice.key, choice.label, get(side));
    get(side).addEventListener("change", () => {
      shown[side] = get(side).value;
      showPictures();
    });
  }
  shown.left = data.choices[0].key;
  const firstRun = data.choices.find((choice) => choice.run);
  shown.right = (firstRun || data.choices[data.choices.length - 1]).key;
  get("left").value = shown.left;
  get("right").value = shown.right;
  data.images.forEach((image, index) => {
    const source = image.pictures.gt || Object.values(image.pictures)[0];
    const button = make("button", { type: "button", title: image.name },
      make("img", { src: source, alt: image.name, loading: "lazy" }));
    button.addEventListener("click", () => {
      shown.image = index;
      showPictures();
    });
    get("thumbnails").append(button);
  });
  const slide = () => {
    document.querySelector(".stage").style.setProperty("--x", `${get("slider").value}%`);
    get("slider").setAttribute("aria-valuetext", `${Math.round(get("slider").value)} percent`);
  };
  get("slider").addEventListener("input", slide);
  slide();
  showPictures();
}

// Curves

const BOX = { width: 520, height: 260, left: 48, right: 10, top: 10, bottom: 30 };

function ticks(low, high, count = 5) {
  const rough = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((f) => f * power).find((s) => s >= rough);
  const found = [];
  for (let v = Math.ceil(low / step) * step; v <= high + step * 1e-6; v += step) found.push(v);
  return found;
}

const short = (value) =>
  Math.abs(value) >= 1000 ? value.toLocaleString("en") : String(Number(value.toPrecision(4)));

function nearest(points, at) {
  return points.reduce((a, b) => (Math.abs(b[0] - at) < Math.abs(a[0] - at) ? b : a));
}

function chart(spec) {
  const every = spec.curves.flatMap((curve) => curve.points);
  const [xs, ys] = [every.map((p) => p[0]), every.map((p) => p[1])];
  const [x0, x1] = [Math.min(0, ...xs), Math.max(...xs)];
  let [y0, y1] = [Math.min(...ys), Math.max(...ys)];
  const pad = (y1 - y0) * 0.06 || 1;
  [y0, y1] = [y0 >= 0 ? Math.max(0, y0 - pad) : y0 - pad, y1 + pad];
  const right = BOX.width - BOX.right, bottom = BOX.height - BOX.bottom;
  const toX = (v) => BOX.left + ((v - x0) / (x1 - x0 || 1)) * (right - BOX.left);
  const toY = (v) => bottom - ((v - y0) / (y1 - y0)) * (bottom - BOX.top);

  const svg = draw("svg", { viewBox: `0 0 ${BOX.width} ${BOX.height}`, role: "img", tabindex: "0",
    "aria-label": `${spec.title}, by iteration` });
  for (const v of ticks(y0, y1)) {
    svg.append(draw("line", { class: "grid", x1: BOX.left, x2: right, y1: toY(v), y2: toY(v) }));
    svg.append(draw("text", { x: BOX.left - 8, y: toY(v) + 4, "text-anchor": "end" }, short(v)));
  }
  for (const v of ticks(x0, x1)) {
    svg.append(draw("text", { x: toX(v), y: bottom + 18, "text-anchor": "middle" }, short(v)));
  }
  svg.append(draw("line", { class: "axis", x1: BOX.left, x2: right, y1: bottom, y2: bottom }));
  for (const { index, points } of spec.curves) {
    const path = points.map((p, i) => `${i ? "L" : "M"}${toX(p[0]).toFixed(1)} ${toY(p[1]).toFixed(1)}`);
    svg.append(draw("path", { d: path.join(""), stroke: colour(index), "stroke-dasharray": dash(index) }));
    if (points.length < 2) {
      svg.append(draw("circle", { cx: toX(points[0][0]), cy: toY(points[0][1]), r: 3, fill: colour(index) }));
    }
  }
  const cross = draw("line", { class: "cross", y1: BOX.top, y2: bottom, visibility: "hidden" });
  svg.append(cross);

  const line = make("p", { class: "at", "aria-live": "polite" }, "iterations; last values:");
  const legend = make("ul", { class: "legend" });
  const values = spec.curves.map(({ index, label, points }) => {
    const mark = draw("svg", { viewBox: "0 0 22 8", "aria-hidden": "true" });
    mark.append(draw("path", { d: "M0 4H22", stroke: colour(index), "stroke-dasharray": dash(index) }));
    const value = make("span", {}, short(points[points.length - 1][1]));
    legend.append(make("li", {}, mark, make("span", { class: "name" }, label), value));
    return value;
  });
  const dots = spec.curves.map(({ index }) =>
    draw("circle", { r: 4, fill: colour(index), visibility: "hidden" }));
  svg.append(...dots);

  const stops = [...new Set(xs)].sort((a, b) => a - b);
  let stop = -1;
  const show = (at) => {
    stop = at;
    const x = stops[at];
    cross.setAttribute("x1", toX(x));
    cross.setAttribute("x2", toX(x));
    cross.setAttribute("visibility", "visible");
    line.textContent = `at iteration ${short(x)}:`;
    spec.curves.forEach(({ points }, i) => {
      const inside = x >= points[0][0] && x <= points[points.length - 1][0];
      const point = nearest(points, x);
      values[i].textContent = inside ? short(point[1]) : "–";
      dots[i].setAttribute("cx", toX(point[0]));
      dots[i].setAttribute("cy", toY(point[1]));
      dots[i].setAttribute("visibility", inside ? "visible" : "hidden");
    });
  };
  const hide = () => {
    stop = -1;
    cross.setAttribute("visibility", "hidden");
    dots.forEach((dot) => dot.setAttribute("visibility", "hidden"));
    line.textContent = "iterations; last values:";
    spec.curves.forEach(({ points }, i) => { values[i].textContent = short(points[points.length - 1][1]); });
  };
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const x = x0 + (((event.clientX - box.left) * BOX.width) / box.width - BOX.left) /
      (right - BOX.left) * (x1 - x0);
    show(stops.indexOf(nearest(stops.map((s) => [s]), x)[0]));
  });
  svg.addEventListener("pointerleave", hide);
  svg.addEventListener("blur", hide);
  svg.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: stop - 1, ArrowRight: stop + 1, Home: 0, End: stops.length - 1 };
    if (!(event.key in moves)) return;
    event.preventDefault();
    show(Math.max(0, Math.min(stops.length - 1, moves[event.key])));
  });
  return make("div", { class: "chart" }, make("h3", {}, spec.title), svg, line, legend);
}

function fillCurves() {
  const charts = data.charts.filter((spec) => spec.curves.length);
  get("curves").hidden = !charts.length;
  BOX.width = Math.max(260, Math.min(BOX.width, get("charts").clientWidth));
  get("charts").append(...charts.map(chart));
}

document.title = data.title;
get("title").textContent = data.title;
get("caption").textContent = data.caption;
for (const note of data.notes) get("notes").append(make("li", {}, note));
fillTable();
fillPictures();
fillCurves();
