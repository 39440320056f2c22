"use strict";
// Values from records are set as text or as numbers, never as markup.
const SVG = "http://www.w3.org/2000/svg";
const LEAST_SCORE = 0.1;
const BINS = 20;
const PLOT = { left: 44, right: 352, top: 8, bottom: 84 };
const { parts, sides, edges, colours, records } = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);

function fill(node, attributes, text) {
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

const element = (name, attributes = {}, text) => fill(document.createElement(name), attributes, text);
const shape = (name, attributes, text) => fill(document.createElementNS(SVG, name), attributes, text);
const count = (number, one, many) => `${number} ${number === 1 ? one : many}`;

function clock(seconds) {
  const hundredths = Math.round(seconds * 100);
  if (hundredths < 6000) return `${(hundredths / 100).toFixed(2)} s`;
  const [hours, minutes] = [Math.floor(hundredths / 360000), Math.floor(hundredths / 6000) % 60];
  const rest = ((hundredths % 6000) / 100).toFixed(2).padStart(5, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

function frameOf(record) {
  if (record.frame === null) return "";
  return `frame ${record.frame}${record.time === null ? "" : `, ${clock(record.time)}`}`;
}

const nameOf = (record) => record.file ?? record.image;
const label = (record) => `${nameOf(record)} ${frameOf(record)}`.trim();

// A track number is one person within one clip. In another clip the same number is another person.
const tracks = [];
const clips = new Map();
for (const record of records) {
  for (const { id } of record.people) {
    if (id === null) continue;
    if (!clips.has(record.image)) clips.set(record.image, new Map());
    const clip = clips.get(record.image);
    if (!clip.has(id)) clip.set(id, tracks.push({ image: record.image, id, frames: 0 }) - 1);
    tracks[clip.get(id)].frames += 1;
  }
}

const UNTRACKED = "none";
let chosen = "";

// The people of a record that the chosen track selects.
function people(record) {
  if (chosen === "") return record.people;
  if (chosen === UNTRACKED) return record.people.filter((person) => person.id === null);
  const { image, id } = tracks[chosen];
  return record.image === image ? record.people.filter((person) => person.id === id) : [];
}

const best = (record) => Math.max(-1, ...people(record).map((person) => person.score));
const trackLabel = (person) => person.id === null ? "" : `#${person.id} `;

function describe(record) {
  if (record.error) return [`${record.error[0]}: ${record.error[1]}`];
  if (!people(record).length) return ["no person found"];
  const all = people(record).map((person) => {
    const tag = element("span", { class: "person" }, `${trackLabel(person)}${person.score.toFixed(2)}`);
    tag.style.setProperty("--colour", colours[person.colour].middle);
    return [" ", tag];
  });
  return [`${count(all.length, "person", "people")}:`, ...all.flat()];
}

function source(index) {
  if (records[index].link) return records[index].link;
  const data = byId(`picture-${index}`);
  return data ? `data:image/jpeg;base64,${data.textContent}` : null;
}

function skeleton(record) {
  const svg = shape("svg", { viewBox: `0 0 ${record.width} ${record.height}`, "aria-hidden": "true" });
  const width = Math.sqrt(record.width * record.height) * 0.006;
  for (const person of people(record)) {
    const shades = colours[person.colour];
    const limbs = edges.filter(([a, b]) => Math.min(person.points[a][2], person.points[b][2]) >= LEAST_SCORE);
    const rim = limbs.map((ends) => ends.map((part, end) => `${end ? "L" : "M"}${person.points[part][0]} ${person.points[part][1]}`).join("")).join("");
    svg.append(shape("path", { d: rim, "stroke-width": width * 1.7 }));
    for (const [a, b] of limbs) {
      const [from, to] = [person.points[a], person.points[b]];
      const colour = shades[sides[a] === sides[b] ? sides[a] : "middle"];
      svg.append(shape("line", { x1: from[0], y1: from[1], x2: to[0], y2: to[1], stroke: colour, "stroke-width": width, "stroke-opacity": Math.min(0.3 + Math.min(from[2], to[2]), 1) }));
    }
    person.points.forEach(([x, y, score], part) => {
      if (score < LEAST_SCORE) return;
      const dot = shape("circle", { cx: x, cy: y, r: width * 1.3, fill: shades[sides[part]], "stroke-width": width * 0.3 });
      dot.dataset.tip = `${trackLabel(person)}${parts[part]} ${score.toFixed(2)}`;
      svg.append(dot);
    });
  }
  return svg;
}

const note = (text) => element("span", { class: "note" }, text);

function view(index) {
  const box = element("span", { class: "view" });
  const record = records[index];
  if (record.error) {
    box.append(note(record.error[0]));
    return box;
  }
  const url = source(index);
  const picture = url ? element("img", { src: url, alt: "", decoding: "async" }) : note("the picture could not be read");
  picture.addEventListener("error", () => picture.replaceWith(note("the picture cannot be shown")));
  box.append(picture, skeleton(record));
  return box;
}

// All cards are created at once. Their pictures are added shortly before they scroll into view.
const filled = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    const card = entry.target;
    if (!entry.isIntersecting) continue;
    filled.unobserve(card);
    card.firstChild.replaceWith(view(Number(card.dataset.index)));
  }
}, { rootMargin: "600px" });

const cards = records.map((record, index) => {
  const card = element("button", { class: record.error ? "card failed" : "card", type: "button" });
  card.dataset.index = index;
  const name = element("span", { class: "name", title: nameOf(record) });
  name.append(element("bdi", { dir: "ltr" }, nameOf(record)));
  card.append(element("span", { class: "view" }), name);
  if (record.frame !== null) card.append(element("span", { class: "frame" }, frameOf(record)));
  const text = element("span", { class: "people" });
  text.append(...describe(record));
  card.append(text);
  card.addEventListener("click", () => open(index));
  filled.observe(card);
  return card;
});

const compareNames = new Intl.Collator(undefined, { numeric: true }).compare;
const orders = {
  order: (a, b) => a - b,
  name: (a, b) => compareNames(label(records[a]), label(records[b])),
  most: (a, b) => people(records[b]).length - people(records[a]).length,
  fewest: (a, b) => people(records[a]).length - people(records[b]).length,
  worst: (a, b) => best(records[a]) - best(records[b]),
  best: (a, b) => best(records[b]) - best(records[a]),
  failed: (a, b) => Number(Boolean(records[b].error)) - Number(Boolean(records[a].error)),
};
const wanted = {
  all: () => true,
  people: (record) => people(record).length > 0,
  nobody: (record) => !record.error && people(record).length === 0,
  failed: (record) => Boolean(record.error),
};
let shown = [];
let order = [];

function choose(track) {
  if (track === chosen) return;
  chosen = track;
  cards.forEach((card, index) => {
    card.lastChild.replaceChildren(...describe(records[index]));
    card.querySelector("svg")?.replaceWith(skeleton(records[index]));
  });
}

function update() {
  choose(byId("track").value);
  const text = byId("text").value.toLowerCase();
  const least = Math.max(Number(byId("least").value) || 0, chosen === "" ? 0 : 1);
  const limit = byId("score").value === "" ? 1 : Number(byId("score").value);
  const keep = wanted[byId("status").value];
  const fits = (record) => keep(record) && people(record).length >= least && best(record) <= limit && label(record).toLowerCase().includes(text);
  const sorted = records.map((_, index) => index).sort((a, b) => orders[byId("sort").value](a, b) || a - b);
  if (sorted.some((index, place) => index !== order[place])) byId("gallery").replaceChildren(...sorted.map((index) => cards[index]));
  order = sorted;
  shown = order.filter((index) => fits(records[index]));
  const visible = new Set(shown);
  cards.forEach((card, index) => { card.hidden = !visible.has(index); });
  byId("nothing").hidden = shown.length > 0;
  byId("nothing").textContent = records.length ? "No record matches the filters." : "There are no records.";
  byId("shown").textContent = `${shown.length} of ${records.length}`;
  drawHistogram(shown.flatMap((index) => people(records[index])));
}

// The distance between ticks such that there are at most four.
function tickStep(highest) {
  const power = 10 ** Math.floor(Math.log10(highest / 3));
  return Math.max([1, 2, 5, 10].map((digit) => digit * power).find((step) => step >= highest / 3), 1);
}

function drawHistogram(persons) {
  const bins = new Array(BINS).fill(0);
  for (const person of persons) bins[Math.min(Math.floor(person.score * BINS + 1e-9), BINS - 1)] += 1;
  const highest = Math.max(...bins, 1);
  const step = tickStep(highest);
  const top = Math.ceil(highest / step) * step;
  const x = (score) => PLOT.left + (PLOT.right - PLOT.left) * score;
  const y = (number) => PLOT.bottom - (PLOT.bottom - PLOT.top) * number / top;
  const nodes = [];
  for (let number = 0; number <= top; number += step) {
    nodes.push(shape("line", { x1: PLOT.left, x2: PLOT.right, y1: y(number), y2: y(number) }));
    nodes.push(shape("text", { class: "count", x: PLOT.left - 6, y: y(number) }, number));
  }
  for (const score of [0, 0.2, 0.4, 0.6, 0.8, 1]) nodes.push(shape("text", { x: x(score), y: PLOT.bottom + 15 }, score));
  nodes.push(shape("text", { x: x(0.5), y: PLOT.bottom + 30 }, "score"));
  nodes.push(shape("text", { transform: `translate(10 ${y(top / 2)}) rotate(-90)` }, "people"));
  const descriptions = [];
  bins.forEach((number, bin) => {
    if (!number) return;
    const bar = shape("rect", { x: x(bin / BINS) + 1, width: x(1 / BINS) - x(0) - 2, y: y(number), height: PLOT.bottom - y(number) });
    descriptions.push(`${(bin / BINS).toFixed(2)} to ${((bin + 1) / BINS).toFixed(2)}: ${number}`);
    bar.dataset.tip = `score ${descriptions.at(-1)}`;
    nodes.push(bar);
  });
  byId("histogram").replaceChildren(...nodes);
  byId("histogram").setAttribute("aria-label", `Scores of ${count(persons.length, "person", "people")}. ${descriptions.join(", ")}`);
}

let current = 0;

function open(index) {
  current = index;
  byId("caption").textContent = label(records[index]);
  byId("people").replaceChildren(...describe(records[index]));
  document.querySelector(".stage").replaceChildren(view(index));
  listKeypoints(people(records[index]));
  if (!byId("viewer").open) byId("viewer").showModal();
}

function listKeypoints(persons) {
  byId("keypoints").hidden = !persons.length;
  const head = element("tr");
  head.append(element("th", { scope: "col" }, "keypoint"), ...persons.map((person, number) => element("th", { scope: "col" }, person.id === null ? `person ${number + 1}` : `#${person.id}`)));
  byId("keypoints").querySelector("thead").replaceChildren(head);
  byId("keypoints").querySelector("tbody").replaceChildren(...parts.map((part, number) => {
    const row = element("tr");
    row.append(element("th", { scope: "row" }, part), ...persons.map((person) => element("td", {}, person.points[number][2].toFixed(2))));
    return row;
  }));
}

function step(by) {
  const place = shown.indexOf(current) + by;
  if (place >= 0 && place < shown.length) open(shown[place]);
}

function moveFocus(event) {
  const place = shown.indexOf(Number(document.activeElement.dataset?.index ?? NaN));
  const across = getComputedStyle(byId("gallery")).gridTemplateColumns.split(" ").length;
  const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across }[event.key];
  if (by === undefined) return;
  const target = shown[place < 0 ? 0 : Math.min(Math.max(place + by, 0), shown.length - 1)];
  if (target === undefined) return;
  cards[target].focus();
  event.preventDefault();
}

document.addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey || event.target.closest("input, select, .scroll")) return;
  if (!byId("viewer").open) return moveFocus(event);
  if (event.key === "ArrowLeft") step(-1);
  if (event.key === "ArrowRight") step(1);
});
byId("viewer").addEventListener("close", () => cards[current].focus());
byId("previous").addEventListener("click", () => step(-1));
byId("next").addEventListener("click", () => step(1));
byId("close").addEventListener("click", () => byId("viewer").close());

document.addEventListener("pointerover", (event) => {
  const tip = byId("tip");
  const text = event.target.dataset?.tip;
  tip.hidden = !text;
  if (!text) return;
  tip.textContent = text;
  tip.style.left = `${Math.min(event.clientX + 12, innerWidth - 150)}px`;
  tip.style.top = `${event.clientY + 12}px`;
  (byId("viewer").open ? byId("viewer") : document.body).append(tip);
});

byId("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
});
byId("filters").addEventListener("input", update);
byId("filters").addEventListener("submit", (event) => event.preventDefault());

function summarise() {
  const failed = records.filter((record) => record.error);
  const total = records.reduce((sum, record) => sum + record.people.length, 0);
  const frames = records.filter((record) => record.frame !== null);
  const units = [];
  if (records.length > frames.length || !frames.length) units.push(count(records.length - frames.length, "picture", "pictures"));
  if (frames.length) units.push(`${count(frames.length, "frame", "frames")} of ${count(new Set(frames.map((record) => record.image)).size, "clip", "clips")}`);
  const withPeople = records.filter((record) => record.people.length).length;
  byId("summary").textContent = `${units.join(" and ")}; ${count(total, "person", "people")} in ${withPeople} of them; ${failed.length} failed`;
  byId("histogram").toggleAttribute("hidden", !total);
  listFailures(failed);
}

function listFailures(failed) {
  if (!failed.length) return;
  const codes = new Map();
  for (const { error: [code] } of failed) codes.set(code, (codes.get(code) ?? 0) + 1);
  byId("failures").hidden = false;
  byId("failures").querySelector("summary").textContent = `${failed.length} failed: ${[...codes].map(([code, number]) => `${number} ${code}`).join(", ")}`;
  for (const record of failed) {
    const row = element("tr");
    row.append(element("td", {}, record.error[0]), element("td", {}, label(record)), element("td", {}, record.error[1]));
    byId("failures").querySelector("tbody").append(row);
  }
}

function listTracks() {
  if (!tracks.length) return;
  const select = byId("track");
  select.parentElement.hidden = false;
  for (const [image, clip] of clips) {
    const group = clips.size > 1 ? element("optgroup", { label: image.length > 40 ? `…${image.slice(-39)}` : image }) : select;
    for (const [id, index] of [...clip].sort(([a], [b]) => a - b)) {
      group.append(element("option", { value: index }, `#${id} in ${count(tracks[index].frames, "frame", "frames")}`));
    }
    if (group !== select) select.append(group);
  }
  if (records.some((record) => record.people.some((person) => person.id === null))) select.append(element("option", { value: UNTRACKED }, "without a track"));
}

summarise();
listTracks();
update();
