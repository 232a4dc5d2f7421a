// Stars and rejects by key, by mouse and by touch.

const wishes = { 1: "star", 0: "none", x: "reject" };
const words = { star: "starred", reject: "rejected", none: "not marked" };
const only = { star: false, kept: false };
let isStale = false; // whether the filters must run again when the dialog closes

// ── on the cards ────────────────────────────────────────────────────────────────────────────────────────────────────

function badge(mark, count, all) {
  const made = element("span", undefined, `pick ${mark}`);
  made.append(sign(mark), element("span", words[mark], "unseen"));
  if (all > 1) made.append(element("span", String(count), "count"));
  return made;
}

// The elements that show the card: in the list, and in the grid if that is shown.
function holdersOf(card) {
  return [...new Set([card.element, openerOf(card)?.parentElement].filter(Boolean))];
}

function decorate(card) {
  const marks = card.pictures.map(pickOf);
  const count = (mark) => marks.filter((each) => each === mark).length;
  const pick = count("star") ? "star" : marks.length && count("reject") === marks.length ? "reject" : null;
  const found = ["star", "reject"].filter(count);
  for (const holder of holdersOf(card)) {
    if (pick) holder.dataset.pick = pick;
    else delete holder.dataset.pick;
    holder.querySelector(".picks")?.remove();
    if (holder !== card.element) holder.firstElementChild.setAttribute("aria-label", [nameInGrid(card), ...found.map((each) => words[each])].join(", "));
    if (!found.length) continue;
    const badges = element("span", undefined, "picks");
    badges.append(...found.map((mark) => badge(mark, count(mark), marks.length)));
    (holder.querySelector(".tile") ?? holder.firstElementChild).append(badges);
  }
}

// ── the bar ─────────────────────────────────────────────────────────────────────────────────────────────────────────

function count() {
  const all = cards.flatMap((card) => card.pictures.map(pickOf));
  $("only-star").lastElementChild.textContent = all.filter((mark) => mark === "star").length;
  $("only-kept").lastElementChild.textContent = all.filter((mark) => mark !== "reject").length;
  $("download").disabled = !picks.size;
  $("kept").textContent = isServed
    ? "Written into picks.jsonl at once"
    : isKept ? "Kept in this browser" : "This browser does not keep marks: download them before you leave";
}

function announce(text) {
  const region = $(comparison.open ? "said-compare" : view.open ? "said" : "said-picks");
  // The same text again would not be read out.
  region.textContent = region.textContent === text ? `${text}\u00a0` : text;
}

function nameOf(card) {
  const name = card.prompt || card.key || card.pictures[0]?.name || "";
  return name.length > 80 ? `${name.slice(0, 80)}…` : name;
}

function mark(card, pictures, wish) {
  if (!pictures.length) {
    announce("There is no picture to mark");
    return;
  }
  setPicks(pictures, wish);
  const said = pictures.length > 1 ? `${pictures.length} pictures ${words[wish]}` : words[wish];
  announce(view.open ? said : `${nameOf(card)}: ${said}`);
}

for (const [kind, id] of [["star", "only-star"], ["kept", "only-kept"]]) {
  $(id).addEventListener("click", () => {
    only[kind] = !only[kind];
    showOnly();
    filter();
  });
}

function showOnly() {
  $("only-star").setAttribute("aria-pressed", String(only.star));
  $("only-kept").setAttribute("aria-pressed", String(only.kept));
}

filters.push({
  isOn: () => only.star || only.kept,
  test: (card) => (!only.star || card.pictures.some((picture) => pickOf(picture) === "star"))
    && (!only.kept || !card.pictures.length || card.pictures.some((picture) => pickOf(picture) !== "reject")),
  clear: () => {
    only.star = only.kept = false;
    showOnly();
  },
});
keepers.push({
  name: "choose",
  keep: () => only,
  restore: (kept) => {
    Object.assign(only, kept);
    showOnly();
  },
});

function filterAgain() {
  isStale = false;
  const places = shown;
  const focused = byMark.get(document.activeElement?.closest?.("[data-id]")?.dataset.id);
  filter();
  if (!focused) return;
  const place = places.indexOf(focused);
  const left = new Set(shown);
  const next = places.slice(place).find((card) => left.has(card)) ?? places.slice(0, place).findLast((card) => left.has(card));
  if (next) openerOf(next)?.focus();
}

onPicks.push((files) => {
  for (const card of new Set(files.map((file) => cardOf.get(file)))) if (card) decorate(card);
  count();
  if (open) showPick(open);
  if (!only.star && !only.kept) return;
  if (view.open) isStale = true;
  else filterAgain();
});

$("download").addEventListener("click", () => {
  const link = element("a");
  link.href = URL.createObjectURL(new Blob([picksAsLines()], { type: "application/x-ndjson" }));
  link.download = "picks.jsonl";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  const folder = document.body.dataset.folder;
  announce(`Move picks.jsonl into the folder. Then: cometflux export ${folder} --to best --picks`);
});

// ── on the card under the pointer ───────────────────────────────────────────────────────────────────────────────────

const picker = $("picker");

function showPicker(holder) {
  const card = byMark.get(holder?.dataset.id);
  if (!card?.pictures.length) {
    picker.remove();
    return;
  }
  const marks = card.pictures.map(pickOf);
  for (const wish of ["star", "reject"]) {
    picker.querySelector(`.${wish}`).setAttribute("aria-pressed", String(marks.every((each) => each === wish)));
  }
  if (picker.parentElement !== holder) holder.append(picker);
}

picker.remove();
picker.hidden = false;
// Touch has no hover: there the buttons in full size serve.
for (const place of [list, $("grid")]) {
  place.addEventListener("pointerover", (event) => {
    if (event.pointerType !== "touch") showPicker(event.target.closest("[data-id]"));
  });
  place.addEventListener("pointerleave", () => picker.remove());
}
// The focus stays on the card.
picker.addEventListener("mousedown", (event) => event.preventDefault());
picker.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  const card = byMark.get(picker.parentElement?.dataset.id);
  if (!button || !card) return;
  if (button.className === "select") select(card, card.pictures.map((_, number) => number).slice(0, MOST));
  else toggle(card, card.pictures, button.className);
  if (picker.isConnected) showPicker(picker.parentElement);
});

function toggle(card, pictures, wish) {
  mark(card, pictures, pictures.every((picture) => pickOf(picture) === wish) ? "none" : wish);
}

// ── in full size ────────────────────────────────────────────────────────────────────────────────────────────────────

function showPick({ card, picture }) {
  const found = card.pictures[picture];
  $("view-picks").hidden = !found;
  for (const wish of ["star", "reject"]) {
    $(`view-${wish}`).setAttribute("aria-pressed", String(Boolean(found) && pickOf(found) === wish));
  }
}

onShow.push(showPick);
for (const wish of ["star", "reject"]) {
  $(`view-${wish}`).addEventListener("click", () => toggle(open.card, [open.card.pictures[open.picture]], wish));
}
view.addEventListener("close", () => { if (isStale) filterAgain(); });

// ── by key ──────────────────────────────────────────────────────────────────────────────────────────────────────────

const isTyping = (event) => /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);

onKey.push((event, card) => {
  if (isTyping(event)) return false;
  if (event.key === "?") {
    $("keys").showModal();
    return true;
  }
  const wish = wishes[event.key.toLowerCase()];
  if (!wish || !card) return false;
  event.preventDefault();
  mark(card, open ? [open.card.pictures[open.picture]].filter(Boolean) : card.pictures, wish);
  return true;
});
$("keys-open").addEventListener("click", () => $("keys").showModal());
$("keys-close").addEventListener("click", () => $("keys").close());

$("download").hidden = isServed;
function decorateAll() {
  for (const card of cards) if (card.pictures.some((picture) => pickOf(picture) !== "none")) decorate(card);
}

new ResizeObserver(() => {
  document.documentElement.style.setProperty("--bar", `${$("choosing").offsetHeight}px`);
}).observe($("choosing"));
$("choosing").hidden = !cards.some((card) => card.pictures.length);
count();
