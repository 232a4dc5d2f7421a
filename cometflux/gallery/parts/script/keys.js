// The keyboard.

const onward = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };

function walk(event, card) {
  const place = shown.indexOf(card);
  const rows = event.key === "ArrowDown" || event.key === "ArrowUp";
  const next = { Home: shown[0], End: shown.at(-1) }[event.key] ?? (rows ? inNextRow(place, onward[event.key]) : shown[place + onward[event.key]]);
  if (!next) return;
  event.preventDefault();
  next.opener.focus();
}

function inNextRow(place, by) {
  const from = shown[place].opener.getBoundingClientRect();
  let best, least = Infinity, row;
  for (let at = place + by; at >= 0 && at < shown.length; at += by) {
    const box = shown[at].opener.getBoundingClientRect();
    if (Math.abs(box.top - from.top) < 2) continue;
    row ??= box.top;
    if (Math.abs(box.top - row) >= 2) break;
    const off = Math.abs(box.left + box.width / 2 - from.left - from.width / 2);
    if (off < least) [best, least] = [shown[at], off];
  }
  return best;
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const opener = event.target.closest?.(".card");
  const card = view.open ? open.card : opener && byMark.get(opener.parentElement.dataset.id);
  if (onKey.some((take) => take(event, card))) return;
  if (view.open) {
    if (event.key === "ArrowRight" || event.key === "ArrowLeft") {
      event.preventDefault();
      turn(onward[event.key]);
    }
    return;
  }
  if (opener && (event.key in onward || event.key === "Home" || event.key === "End")) {
    walk(event, card);
  } else if (event.key === "/" && !/^(INPUT|SELECT)$/.test(event.target.tagName)) {
    event.preventDefault();
    $("search").focus();
  }
});
