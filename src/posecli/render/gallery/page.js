"use strict";
// Everything that comes from the records is set as text or as numbers, never as markup.
const SVG = "http://www.w3.org/2000/svg";
const HUES = [187, 331, 97, 32, 274, 54, 151, 356, 209, 299];
const SEEN = 0.1;
const { parts, edges, records } = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);

function element(name, attributes = {}, text) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function shape(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

const label = (record) => record.frame === null ? record.name : `${record.name} frame ${record.frame}`;
const best = (record) => record.people.length ? record.people[0].score : -1;

function describe(record) {
  if (record.error) return `${record.error[0]}: ${record.error[1]}`;
  if (!record.people.length) return "nobody found";
  const scores = record.people.map((person) => person.score.toFixed(2)).join(", ");
  return `${record.people.length} ${record.people.length === 1 ? "person" : "people"}: ${scores}`;
}

function source(index) {
  if (records[index].link) return records[index].link;
  const data = byId(`picture-${index}`);
  return data ? `data:image/jpeg;base64,${data.textContent}` : null;
}

function skeleton(record) {
  const svg = shape("svg", { viewBox: `0 0 ${record.width} ${record.height}` });
  const width = Math.sqrt(record.width * record.height) * 0.006;
  record.people.forEach((person, number) => {
    const colour = `hsl(${HUES[number % HUES.length]} 90% 60%)`;
    for (const [a, b] of edges) {
      const [from, to] = [person.points[a], person.points[b]];
      const score = Math.min(from[2], to[2]);
      if (score < SEEN) continue;
      svg.append(shape("line", { x1: from[0], y1: from[1], x2: to[0], y2: to[1], stroke: colour, "stroke-width": width, "stroke-opacity": Math.min(0.3 + score, 1) }));
    }
    person.points.forEach(([x, y, score], part) => {
      if (score < SEEN) return;
      const dot = shape("circle", { cx: x, cy: y, r: width * 1.3, fill: colour, "stroke-width": width * 0.3 });
      dot.dataset.tip = `${person.id === null ? "" : `person ${person.id} `}${parts[part]} ${score.toFixed(2)}`;
      svg.append(dot);
    });
  });
  return svg;
}

function view(index) {
  const box = element("div", { class: "view" });
  const record = records[index];
  if (record.error) return box;
  const url = source(index);
  if (url) box.append(element("img", { src: url, alt: "", decoding: "async" }));
  box.append(skeleton(record));
  return box;
}

// Cards are there at once; their pictures come when they are about to be seen.
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
  card.append(element("div", { class: "view" }), element("p", { title: label(record) }, label(record)), element("p", {}, describe(record)));
  card.addEventListener("click", () => open(index));
  filled.observe(card);
  return card;
});

const compareNames = new Intl.Collator(undefined, { numeric: true }).compare;
const orders = {
  order: (a, b) => a - b,
  name: (a, b) => compareNames(label(records[a]), label(records[b])),
  most: (a, b) => records[b].people.length - records[a].people.length,
  fewest: (a, b) => records[a].people.length - records[b].people.length,
  worst: (a, b) => best(records[a]) - best(records[b]),
  best: (a, b) => best(records[b]) - best(records[a]),
  failed: (a, b) => Number(Boolean(records[b].error)) - Number(Boolean(records[a].error)),
};
const wanted = {
  all: () => true,
  people: (record) => record.people.length > 0,
  nobody: (record) => !record.error && record.people.length === 0,
  failed: (record) => Boolean(record.error),
};
let shown = [];

function update() {
  const text = byId("text").value.toLowerCase();
  const least = Number(byId("least").value) || 0;
  const limit = byId("score").value === "" ? 1 : Number(byId("score").value);
  const keep = wanted[byId("status").value];
  const fits = (record) => keep(record) && record.people.length >= least && best(record) <= limit && label(record).toLowerCase().includes(text);
  const order = records.map((_, index) => index).sort((a, b) => orders[byId("sort").value](a, b) || a - b);
  shown = order.filter((index) => fits(records[index]));
  const visible = new Set(shown);
  cards.forEach((card, index) => { card.hidden = !visible.has(index); });
  byId("gallery").replaceChildren(...order.map((index) => cards[index]));
  byId("shown").textContent = `${shown.length} of ${records.length}`;
}

let current = 0;

function open(index) {
  current = index;
  byId("caption").textContent = `${label(records[index])} – ${describe(records[index])}`;
  document.querySelector(".stage").replaceChildren(view(index));
  if (!byId("viewer").open) byId("viewer").showModal();
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
  if (["INPUT", "SELECT"].includes(event.target.tagName)) return;
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
  const people = records.flatMap((record) => record.people);
  const withPeople = records.filter((record) => record.people.length).length;
  byId("summary").textContent = `${records.length} pictures, ${people.length} people in ${withPeople} of them, ${failed.length} failed`;
  const bins = new Array(20).fill(0);
  for (const person of people) bins[Math.min(Math.floor(person.score * 20), 19)] += 1;
  const highest = Math.max(...bins, 1);
  bins.forEach((count, bin) => {
    const bar = shape("rect", { x: bin * 10 + 0.5, y: 48 - 46 * count / highest, width: 9, height: 46 * count / highest });
    bar.dataset.tip = `score ${(bin / 20).toFixed(2)} to ${((bin + 1) / 20).toFixed(2)}: ${count} people`;
    byId("histogram").append(bar);
  });
  if (!failed.length) return;
  byId("failures").hidden = false;
  byId("failures").querySelector("summary").textContent = `${failed.length} failed`;
  for (const record of failed) {
    const row = element("tr");
    row.append(element("td", {}, record.error[0]), element("td", {}, record.error[1]));
    byId("failures").querySelector("tbody").append(row);
  }
}

summarise();
update();
