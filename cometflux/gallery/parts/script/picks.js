// The stars and rejects. The browser keeps them, or the server that serves the page.

const isServed = "served" in document.body.dataset;
const inFolder = new Map(Object.entries(JSON.parse($("marks").textContent)));
const keptAs = `cometflux picks of ${document.body.dataset.batch || location.pathname}`;
const cardOf = new Map(cards.flatMap((card) => card.pictures.map((picture) => [fileOf(picture), card])));
let picks = new Map(inFolder);
let isKept = true;
// Called with the names of the files whose marks have changed.
const onPicks = [];

function fileOf(picture) {
  return picture.file ?? picture.name;
}

function pickOf(picture) {
  return picks.get(fileOf(picture)) ?? "none";
}

function setPicks(pictures, mark) {
  const changes = pictures.filter((picture) => pickOf(picture) !== mark).map((picture) => [fileOf(picture), mark]);
  if (!changes.length) return;
  change(picks, changes);
  if (isServed) send(changes);
  else keepPicks(changes);
  tell(changes.map(([file]) => file));
}

function change(marks, changes) {
  for (const [file, mark] of changes) {
    if (mark === "none") marks.delete(file);
    else marks.set(file, mark);
  }
}

function tell(files) {
  for (const each of onPicks) each(files);
}

function replacePicks(marks) {
  const files = [...new Set([...picks.keys(), ...marks.keys()])].filter((file) => picks.get(file) !== marks.get(file));
  picks = marks;
  if (files.length) tell(files);
}

function picksAsLines() {
  // The pictures of other pages are not known here.
  const isWhole = !document.querySelector("nav.pages");
  const known = [...picks].filter(([file]) => cardOf.has(file) || !isWhole);
  return known.map(([file, mark]) => `${JSON.stringify({ file, mark })}\n`).join("");
}

// ── in the browser ──────────────────────────────────────────────────────────────────────────────────────────────────

// Each is [file, its mark in the folder at that time, its mark]. Other pages can write there, so nothing is trusted.
function readKept() {
  const isMark = (mark) => mark === "star" || mark === "reject" || mark === "none";
  try {
    const found = JSON.parse(localStorage.getItem(keptAs) ?? "[]");
    return found.filter((each) => Array.isArray(each) && typeof each[0] === "string" && isMark(each[1]) && isMark(each[2]));
  } catch {
    return [];
  }
}

function keepPicks(changes) {
  const kept = new Map(readKept().map((each) => [each[0], each]));
  for (const [file, mark] of changes) {
    const before = inFolder.get(file) ?? "none";
    if (mark === before) kept.delete(file);
    else kept.set(file, [file, before, mark]);
  }
  try {
    localStorage.setItem(keptAs, JSON.stringify([...kept.values()]));
    isKept = true;
  } catch {
    isKept = false;
  }
}

function loadKept() {
  const marks = new Map(inFolder);
  // A mark that changed in the folder since then is the newer one.
  change(marks, readKept().filter(([file, before]) => (inFolder.get(file) ?? "none") === before).map(([file, , mark]) => [file, mark]));
  replacePicks(marks);
}

if (!isServed) {
  loadKept();
  addEventListener("storage", (event) => { if (event.key === keptAs || event.key === null) loadKept(); });
}
