// Which cards are shown, and in which order.

const compare = (one, other) => Number(one > other) - Number(one < other);
const sorts = {
  order: (a, b) => a.place - b.place,
  newest: (a, b) => compare(b.when ?? "", a.when ?? "") || a.place - b.place,
  slowest: (a, b) => (b.seconds ?? -1) - (a.seconds ?? -1) || a.place - b.place,
};

function matches(card) {
  if (wanted.status.size && !wanted.status.has(card.status)) return false;
  if (wanted.model.size && !wanted.model.has(card.model)) return false;
  if (wanted.flaw.size && !card.flaws.some((flaw) => wanted.flaw.has(flaw))) return false;
  if (!filters.every((each) => each.test(card))) return false;
  return isFound(card);
}

// One change to the whole list costs the browser far less than thousands of changes to its items.
function aside(change) {
  const top = scrollY;
  list.hidden = true;
  change();
  document.body.getBoundingClientRect();
  list.hidden = false;
  scrollTo({ top, behavior: "instant" });
}

function arrange() {
  order = Array.from(cards).sort(sorts[wanted.sort]);
  aside(() => list.append(...order.map((card) => card.element)));
}

function filter() {
  shown = order.filter(matches);
  const wantedNow = new Set(shown);
  const changed = cards.filter((card) => card.element.hidden === wantedNow.has(card));
  const turnOver = () => { for (const card of changed) card.element.hidden = !card.element.hidden; };
  if (changed.length > 50) aside(turnOver);
  else turnOver();
  const all = shown.length === cards.length;
  $("shown").textContent = all ? `${cards.length} shown` : `${shown.length} of ${cards.length} shown`;
  $("clear").hidden = !(wanted.query || chips.some(({ kind }) => wanted[kind].size) || filters.some((each) => each.isOn()));
  for (const each of onFilter) each();
}
