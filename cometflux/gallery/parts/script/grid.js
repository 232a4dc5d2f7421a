// The grid: the jobs by two of their parameters, with an axis for each.

const grid = $("grid");
// An axis has at most so many values, and a cell shows so many pictures until it is opened.
const longestAxis = 100;
const mostInCell = 4;
// The axes of the grid, or null while the cards are shown; "" as rows makes a single row.
let axes = null;
let inGrid = new Map();
const openedCells = new Set();

function axisValue(card, name) {
  return name === "model" ? JSON.stringify(card.model ?? "") : valueOf(card, name);
}

function canBeAxis(name) {
  const { size } = valuesOf((card) => axisValue(card, name));
  return size > 1 && size <= longestAxis;
}

// What was swept comes first; a prompt, a model or a seed may be an axis too.
const late = ["prompt", "model", "seed"];
const axisNames = [...differing.filter((name) => !late.includes(name)), ...late.filter((name) => name === "model" || differing.includes(name))].filter(canBeAxis);

function axisLabel(name, value) {
  if (value === undefined) return "none";
  const text = plainValue(value);
  return name === "model" ? text.replace("black-forest-labs/", "") : text;
}

function openerOf(card) {
  return axes ? inGrid.get(card) : card?.opener;
}

function headOf(name, value, scope) {
  const head = element("th");
  head.scope = scope;
  const text = element("span", axisLabel(name, value), "axis");
  text.dir = "auto";
  text.title = text.textContent;
  head.append(text);
  return head;
}

function nameInGrid(card) {
  const values = [axes.x, axes.y].filter(Boolean).map((name) => `${name} ${axisLabel(name, axisValue(card, name))}`);
  return [card.prompt || card.key || "without a prompt", ...values, states[card.status].label, ...card.pictures.map((picture) => picture.note ?? [])].flat().join(", ");
}

function pieceOf(card) {
  const piece = element("div", undefined, "piece");
  piece.dataset.id = card.mark;
  const picture = card.pictures[0];
  const opener = element(picture?.address ? "a" : "button", undefined, "card");
  if (picture?.address) opener.href = picture.address;
  else opener.type = "button";
  opener.setAttribute("aria-label", nameInGrid(card));
  if (card.element.querySelector("img")) {
    const image = card.element.querySelector("img").cloneNode();
    image.loading = "lazy";
    opener.append(image);
  } else {
    const { icon, label } = states[card.status];
    opener.append(blank(card.status, picture && !picture.fault ? "elsewhere" : icon, label));
  }
  if (card.pictures.length > 1) opener.append(element("span", `+${card.pictures.length - 1}`, "more"));
  piece.append(opener);
  inGrid.set(card, opener);
  decorate(card);
  numberSelected(card);
  return piece;
}

function cellOf(found, mark) {
  const cell = element("td");
  const stack = element("div", undefined, found.length > 1 ? "stack" : undefined);
  const most = openedCells.has(mark) ? found.length : mostInCell;
  stack.append(...found.slice(0, most).map(pieceOf));
  if (found.length > most) {
    const more = element("button", `${found.length - most} more`, "quiet");
    more.type = "button";
    more.addEventListener("click", () => {
      openedCells.add(mark);
      const next = found[most];
      drawGrid();
      openerOf(next).focus();
    });
    cell.append(stack, more);
  } else {
    cell.append(stack);
  }
  return cell;
}

function group(found, name) {
  const groups = new Map([...valuesOf((card) => (name ? axisValue(card, name) : "")).keys()].map((value) => [value, []]));
  for (const card of found) groups.get(name ? axisValue(card, name) : "").push(card);
  return new Map([...groups].filter(([, each]) => each.length));
}

function drawGrid() {
  const { x, y } = axes;
  inGrid = new Map();
  const columns = [...group(shown, x).keys()];
  const rows = group(shown, y);
  const head = element("tr");
  const corner = element("td", y ? `${x} →\n${y} ↓` : `${x} →`, "corner");
  corner.dir = "auto";
  head.append(corner, ...columns.map((value) => headOf(x, value, "col")));
  const top = element("thead");
  top.append(head);
  const body = element("tbody");
  const inOrder = [];
  for (const [value, ofRow] of rows) {
    const row = element("tr");
    row.append(y ? headOf(y, value, "row") : element("td", "", "corner"));
    const cells = group(ofRow, x);
    for (const column of columns) {
      const found = cells.get(column) ?? [];
      inOrder.push(...found);
      row.append(cellOf(found, `${value}\n${column}`));
    }
    body.append(row);
  }
  const table = element("table");
  table.setAttribute("aria-label", y ? `${x} across, ${y} down` : `${x} across`);
  table.append(top, body);
  grid.replaceChildren(table);
  // The dialog turns the pictures in the order of the grid.
  shown = inOrder;
}

function showGrid(wantedAxes) {
  axes = wantedAxes;
  const isOn = Boolean(axes);
  $("grid-on").setAttribute("aria-pressed", String(isOn));
  for (const each of document.querySelectorAll(".axes")) each.hidden = !isOn;
  document.documentElement.classList.toggle("as-grid", isOn);
  grid.hidden = !isOn;
  if (isOn) [$("axis-x").value, $("axis-y").value] = [axes.x, axes.y];
  else grid.replaceChildren();
}

function choices(id, names) {
  $(id).append(...names.map(([value, text]) => {
    const option = element("option", text);
    option.value = value;
    return option;
  }));
}

// The neighbour of a picture in the grid: in its cell, else in the next cell of that direction that has one.
function neighbour(opener, key) {
  const cell = opener.closest("td");
  const inCell = [...cell.querySelectorAll(".card")];
  const by = onward[key];
  const isAcross = key === "ArrowLeft" || key === "ArrowRight";
  const next = inCell[inCell.indexOf(opener) + by];
  if (isAcross && next) return next;
  let [row, column] = [cell.parentElement, cell.cellIndex];
  for (;;) {
    if (isAcross) column += by;
    else row = by > 0 ? row.nextElementSibling : row.previousElementSibling;
    const target = row?.cells[column];
    if (!target) return undefined;
    const found = target.querySelectorAll(".card");
    if (found.length) return isAcross && by < 0 ? found[found.length - 1] : found[0];
  }
}

onKey.push((event, card) => {
  if (!axes || view.open || !card) return false;
  const all = grid.querySelectorAll(".card");
  const next = { Home: all[0], End: all[all.length - 1] }[event.key] ?? (event.key in onward ? neighbour(event.target.closest(".card"), event.key) : undefined);
  next?.focus();
  if (next) event.preventDefault();
  return Boolean(next) || event.key in onward;
});

onFilter.push(() => { if (axes) drawGrid(); });
keepers.push({
  name: "grid",
  keep: () => axes,
  restore: (kept) => { if (kept && axisNames.includes(kept.x) && ["", ...axisNames].includes(kept.y)) showGrid(kept); },
});

if (axisNames.length) {
  $("grid-on").parentElement.hidden = false;
  choices("axis-x", axisNames.map((name) => [name, name]));
  choices("axis-y", [["", "no rows"], ...axisNames.map((name) => [name, name])]);
  $("grid-on").addEventListener("click", () => {
    showGrid(axes ? null : { x: axisNames[0], y: axisNames[1] ?? "" });
    filter();
  });
  for (const id of ["axis-x", "axis-y"]) {
    $(id).addEventListener("change", () => {
      openedCells.clear();
      showGrid({ x: $("axis-x").value, y: $("axis-y").value });
      filter();
    });
  }
  grid.addEventListener("click", openCard);
}
