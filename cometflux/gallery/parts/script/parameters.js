// The parameters that differ among the jobs: in the search, as filters and as orders.

const differing = JSON.parse($("differing").textContent);
// Filters are offered for parameters with at most so many values.
const fewValues = 12;
// By the name of a parameter: the values that are wanted, as JSON; "" for none.
const wantedValues = new Map();
let looked = { query: "", finders: [] };

function valueOf(card, name) {
  return (card.input ?? []).find(([each]) => each === name)?.[1];
}

function plainValue(json) {
  return json.startsWith('"') ? JSON.parse(json) : json;
}

// Numbers in their order, before texts; jobs without a value come last.
function compareValues(one, other) {
  if (one === undefined || other === undefined) return Number(one === undefined) - Number(other === undefined);
  const [a, b] = [one, other].map(Number);
  if (Number.isNaN(a) || Number.isNaN(b)) return Number(Number.isNaN(a)) - Number(Number.isNaN(b)) || compare(plainValue(one), plainValue(other));
  return a - b;
}

// The values that the jobs of the page have, in order, each with its number of jobs.
function valuesOf(read) {
  const counts = new Map();
  for (const card of cards) {
    const value = read(card);
    counts.set(value, (counts.get(value) ?? 0) + 1);
  }
  return new Map([...counts].sort(([a], [b]) => compareValues(a, b)));
}

// ── the search ──────────────────────────────────────────────────────────────────────────────────────────────────────

for (const card of cards) {
  card.own = card.text;
  for (const name of differing) {
    const value = name === "prompt" ? undefined : valueOf(card, name);
    if (value !== undefined) card.text += `\n${name} ${plainValue(value)}`.toLowerCase();
  }
}

let allNames;

function namesLike(word) {
  allNames ??= new Set(cards.flatMap((card) => (card.input ?? []).map(([name]) => name)));
  return [...allNames].filter((name) => name.toLowerCase() === word || (word.length > 2 && name.toLowerCase().startsWith(word)));
}

function isValue(json, word) {
  if (json === undefined) return false;
  if (json.startsWith('"')) return JSON.parse(json).toLowerCase().includes(word);
  return json.toLowerCase() === word || Number(json) === Number(word);
}

// A word is looked for in the texts of a card; the name of a parameter and a value, only in that parameter too.
function findersOf(query) {
  const words = query.split(/\s+/);
  const finders = [];
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at];
    const [name, given] = word.split("=", 2);
    const names = namesLike(name);
    const value = given ?? words[at + 1];
    if (!names.length || !value) {
      finders.push((card) => card.text.includes(word));
      continue;
    }
    if (given === undefined) at += 1;
    const isSaid = (card) => given === undefined && card.own.includes(name) && card.own.includes(value);
    finders.push((card) => names.some((each) => isValue(valueOf(card, each), value)) || isSaid(card));
  }
  return finders;
}

function isFound(card) {
  if (looked.query !== wanted.query) looked = { query: wanted.query, finders: findersOf(wanted.query) };
  return looked.finders.every((find) => find(card));
}

// ── filters and orders ──────────────────────────────────────────────────────────────────────────────────────────────

function valueChip(name, value, count) {
  const chip = element("button", undefined, "chip");
  chip.type = "button";
  chip.setAttribute("aria-pressed", String(wantedValues.get(name)?.has(value ?? "") ?? false));
  const text = element("span", value === undefined ? "none" : plainValue(value), "of");
  text.dir = "auto";
  chip.append(text, " ", element("span", String(count), "count"));
  chip.addEventListener("click", () => {
    if (!wantedValues.has(name)) wantedValues.set(name, new Set());
    press(chip, wantedValues.get(name), value ?? "");
    filter();
  });
  return chip;
}

function offerFilters() {
  const box = $("values");
  for (const name of differing) {
    const found = name === "prompt" ? new Map() : valuesOf((card) => valueOf(card, name));
    if (found.size < 2 || found.size > fewValues) continue;
    const group = element("fieldset", undefined, "chips");
    const legend = element("legend", name);
    legend.dir = "auto";
    group.append(legend, ...Array.from(found, ([value, count]) => valueChip(name, value, count)));
    box.append(group);
  }
  box.parentElement.hidden = !box.childElementCount;
}

for (const name of differing) {
  sorts[`by ${name}`] = (a, b) => compareValues(valueOf(a, name), valueOf(b, name)) || a.place - b.place;
  const option = element("option", `By ${name}`);
  option.value = `by ${name}`;
  $("sort").append(option);
}

filters.push({
  test: (card) => {
    for (const [name, set] of wantedValues) if (set.size && !set.has(valueOf(card, name) ?? "")) return false;
    return true;
  },
  isOn: () => [...wantedValues.values()].some((set) => set.size),
  clear: () => wantedValues.clear(),
});
keepers.push({
  name: "values",
  keep: () => ({ wanted: Array.from(wantedValues, ([name, set]) => [name, [...set]]), isOpen: $("values").parentElement.open }),
  restore: (kept) => {
    for (const [name, set] of kept?.wanted ?? []) wantedValues.set(name, new Set(set));
    $("values").parentElement.open = kept?.isOpen ?? false;
    $("values").replaceChildren();
    offerFilters();
  },
});
offerFilters();
