// Two to four pictures, compared: side by side, or two under a slider.

const comparison = $("compare");
const MOST = 4;
let selected = []; // each {card, picture}
let isSliding = false;

// ── the selection ───────────────────────────────────────────────────────────────────────────────────────────────────

const isSelected = (card, number) => selected.some((each) => each.card === card && each.picture === number);

function select(card, numbers) {
  const shownOnes = numbers.filter((number) => card.pictures[number]?.here);
  const off = shownOnes.filter((number) => isSelected(card, number));
  if (off.length) {
    selected = selected.filter((each) => each.card !== card || !off.includes(each.picture));
  } else if (!shownOnes.length) {
    announce("There is no picture here to compare");
    return;
  } else if (selected.length + shownOnes.length > MOST) {
    announce(`At most ${MOST} pictures can be compared; ${selected.length} are selected`);
    return;
  } else {
    selected = [...selected, ...shownOnes.map((picture) => ({ card, picture }))];
  }
  showSelected();
  announce(`${selected.length} selected to compare`);
}

function showSelected() {
  for (const holder of document.querySelectorAll("[data-selected]")) delete holder.dataset.selected;
  for (const { card } of selected) numberSelected(card);
  for (const id of ["open-compare", "unselect"]) $(id).hidden = !selected.length;
  $("open-compare").lastElementChild.textContent = selected.length;
  $("open-compare").disabled = selected.length < 2;
  if (open) showIfSelected(open);
}

function numberSelected(card) {
  const numbers = selected.flatMap((each, place) => each.card === card ? [place + 1] : []);
  if (numbers.length) for (const holder of holdersOf(card)) holder.dataset.selected = numbers.join(" ");
}

function showIfSelected({ card, picture }) {
  $("view-select").hidden = !card.pictures[picture]?.here;
  $("view-select").setAttribute("aria-pressed", String(isSelected(card, picture)));
}

onShow.push(showIfSelected);
keepers.push({
  name: "compare",
  keep: () => selected.map(({ card, picture }) => [card.mark, picture]),
  restore: (kept) => {
    const found = (kept ?? []).map(([mark, picture]) => ({ card: byMark.get(mark), picture }));
    selected = found.filter(({ card, picture }) => card?.pictures[picture]?.here);
    showSelected();
  },
  isBusy: () => comparison.open,
});
$("unselect").addEventListener("click", () => {
  selected = [];
  showSelected();
  announce("Nothing is selected");
  $("only-star").focus();
});
$("open-compare").addEventListener("click", () => openComparison());
$("view-select").addEventListener("click", () => select(open.card, [open.picture]));

// ── the panes ───────────────────────────────────────────────────────────────────────────────────────────────────────

function differences() {
  const inputs = selected.map(({ card }) => new Map([["model", JSON.stringify(card.model ?? "")], ...(card.input ?? [])]));
  const names = [...new Set(inputs.flatMap((each) => [...each.keys()]))];
  const differing = names.filter((name) => new Set(inputs.map((each) => each.get(name))).size > 1);
  return inputs.map((input) => differing.filter((name) => input.has(name)).map((name) => [name, plainValue(input.get(name))]));
}

function paneOf({ card, picture }, place, differing) {
  const pane = element("figure", undefined, "pane");
  const frame = element("div", undefined, "frame");
  const image = imageOf(card.pictures[picture], card);
  image.draggable = false;
  image.addEventListener("load", drawAll);
  frame.tabIndex = 0;
  frame.setAttribute("role", "group");
  frame.setAttribute("aria-label", `Picture ${place + 1} of ${selected.length}: ${nameOf(card)}`);
  frame.append(image);
  makeZoomable(frame, drawAll);
  const caption = element("figcaption");
  const buttons = element("span", undefined, "marks");
  for (const [wish, label] of [["star", "Star"], ["reject", "Reject"]]) {
    const button = element("button", undefined, wish);
    button.type = "button";
    button.setAttribute("aria-label", `${label} picture ${place + 1}`);
    button.append(sign(wish));
    button.addEventListener("click", () => toggle(card, [card.pictures[picture]], wish));
    buttons.append(button);
  }
  const told = element("span", undefined, "differs");
  told.dir = "auto";
  for (const [name, value] of differing) {
    const part = element("span");
    if (name !== "prompt" && name !== "model") part.append(element("span", `${name} `, "name"));
    part.append(name === "model" ? value.replace("black-forest-labs/", "") : value);
    told.append(part);
  }
  if (!differing.length) told.append(nameOf(card));
  caption.append(buttons, told);
  pane.append(frame, caption);
  return pane;
}

const frames = () => [...$("panes").querySelectorAll(".frame")];

function drawAll() {
  for (const frame of frames()) draw(frame);
  const first = frames().find((frame) => frame.querySelector("img").naturalWidth);
  if (first) $("zoom-level").textContent = `${Math.round(drawn(first).fit * zoom.scale * 100)} %`;
}

function openComparison() {
  if (selected.length < 2) {
    announce(`Select two to four pictures with s first; ${selected.length} selected`);
    return;
  }
  const differing = differences();
  fitAll();
  $("panes").replaceChildren(...selected.map((each, place) => paneOf(each, place, differing[place])), $("handle"));
  $("panes").dataset.count = selected.length;
  $("compare-title").textContent = `${selected.length} pictures`;
  $("as-slider").hidden = selected.length !== 2;
  slide(isSliding && selected.length === 2);
  cut(50);
  showPanePicks();
  $("said-compare").textContent = "";
  comparison.showModal();
  frames()[0].focus();
  drawAll();
}

function showPanePicks() {
  [...$("panes").querySelectorAll(".pane")].forEach((pane, place) => {
    const { card, picture } = selected[place];
    const pick = pickOf(card.pictures[picture]);
    if (pick === "none") delete pane.dataset.pick;
    else pane.dataset.pick = pick;
    for (const wish of ["star", "reject"]) pane.querySelector(`button.${wish}`).setAttribute("aria-pressed", String(pick === wish));
  });
}

onPicks.push(() => { if (comparison.open) showPanePicks(); });
comparison.addEventListener("close", () => $("panes").replaceChildren($("handle")));
new ResizeObserver(() => { if (comparison.open) drawAll(); }).observe($("panes"));

// ── the slider ──────────────────────────────────────────────────────────────────────────────────────────────────────

function slide(wish) {
  isSliding = wish;
  $("panes").classList.toggle("sliding", wish);
  $("as-slider").setAttribute("aria-pressed", String(wish));
  $("handle").hidden = $("cutting").hidden = !wish;
  drawAll();
}

function cut(part) {
  $("divider").value = part;
  $("divider").setAttribute("aria-valuetext", `${Math.round(part)} % of the first picture`);
  $("panes").style.setProperty("--cut", `${part}%`);
}

$("as-slider").addEventListener("click", () => slide(!isSliding));
$("divider").addEventListener("input", () => cut($("divider").valueAsNumber));
$("handle").addEventListener("pointerdown", (event) => $("handle").setPointerCapture(event.pointerId));
$("handle").addEventListener("pointermove", (event) => {
  if (!$("handle").hasPointerCapture(event.pointerId)) return;
  const box = $("panes").getBoundingClientRect();
  cut(between(0, (100 * (event.clientX - box.left)) / box.width, 100));
});

// ── buttons and keys ────────────────────────────────────────────────────────────────────────────────────────────────

function zoomBy(factor) {
  zoomAt(frames().find((frame) => frame === document.activeElement) ?? frames()[0], factor);
  drawAll();
}

function fitAgain() {
  fitAll();
  drawAll();
}

$("zoom-in").addEventListener("click", () => zoomBy(1.5));
$("zoom-out").addEventListener("click", () => zoomBy(1 / 1.5));
$("zoom-fit").addEventListener("click", fitAgain);
$("compare-close").addEventListener("click", () => comparison.close());

const steps4 = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
const inComparison = {
  "+": () => zoomBy(1.5),
  "=": () => zoomBy(1.5),
  "-": () => zoomBy(1 / 1.5),
  f: fitAgain,
  c: () => comparison.close(),
};

// Takes every key while pictures are compared, so that nothing behind them moves.
function takeInComparison(event) {
  if (isTyping(event)) return;
  const all = frames();
  const place = all.findIndex((frame) => frame.closest(".pane").contains(document.activeElement));
  const key = event.key.toLowerCase();
  const wish = wishes[key];
  if (wish && place >= 0) {
    const { card, picture } = selected[place];
    mark(card, [card.pictures[picture]], wish);
    announce(`Picture ${place + 1} ${words[wish]}`);
  } else if (event.key in steps4 && event.shiftKey) {
    const [across, down] = steps4[event.key];
    pan(all[Math.max(place, 0)], across * 80, down * 80);
    drawAll();
  } else if (event.key in onward) {
    all[between(0, place + onward[event.key], all.length - 1)].focus();
  } else if (key in inComparison) {
    inComparison[key]();
  } else return;
  event.preventDefault();
}

// Before all others.
onKey.unshift((event, card) => {
  if ($("keys").open) return true;
  if (comparison.open) {
    if (event.key === "?") $("keys").showModal();
    else takeInComparison(event);
    return true;
  }
  if (isTyping(event)) return false;
  const key = event.key.toLowerCase();
  if (key === "s" && card) select(card, open ? [open.picture] : card.pictures.map((_, number) => number).slice(0, MOST));
  else if (key === "c") openComparison();
  else return false;
  event.preventDefault();
  return true;
});
