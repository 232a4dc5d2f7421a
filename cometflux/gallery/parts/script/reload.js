// A page of a running batch loads itself again and keeps what was chosen.

let paused = false;
let touched = -Infinity;

function anchor() {
  const seen = shown.find((card) => card.opener.getBoundingClientRect().bottom > 0);
  return scrollY > 0 && seen ? { mark: seen.mark, top: seen.opener.getBoundingClientRect().top } : null;
}

function focused() {
  const active = document.activeElement;
  if (!active || active === document.body) return null;
  const { selectionStart = null, selectionEnd = null } = active.id === "search" ? active : {};
  const found = chips.find(({ chip }) => chip === active);
  const css = found ? `.chip[data-${found.kind}="${CSS.escape(found.value)}"]` : null;
  return { id: active.id, css, mark: active.parentElement?.dataset.id, selectionStart, selectionEnd };
}

function keep() {
  history.replaceState({
    query: $("search").value,
    status: [...wanted.status],
    model: [...wanted.model],
    flaw: [...wanted.flaw],
    sort: wanted.sort,
    open: open && { mark: open.card.mark, picture: open.picture, scroll: [$("about").scrollTop, view.scrollTop] },
    anchor: anchor(),
    focused: focused(),
    paused,
    others: Object.fromEntries(keepers.map((each) => [each.name, each.keep()])),
  }, "");
}

function restore(kept) {
  $("search").value = kept.query;
  wanted.query = kept.query.trim().toLowerCase();
  $("sort").value = wanted.sort = kept.sort in sorts ? kept.sort : "order";
  for (const { chip, kind, value } of chips) if (kept[kind]?.includes(value)) press(chip, wanted[kind], value);
  for (const each of keepers) each.restore(kept.others?.[each.name]);
  if (wanted.sort !== "order") arrange();
  filter();
  paused = kept.paused;
  const seen = kept.anchor && byMark.get(kept.anchor.mark);
  if (seen) scrollBy({ top: seen.opener.getBoundingClientRect().top - kept.anchor.top, behavior: "instant" });
  const job = kept.open && byMark.get(kept.open.mark);
  if (job) {
    show({ card: job, picture: Math.min(kept.open.picture, Math.max(job.pictures.length - 1, 0)) });
    [$("about").scrollTop, view.scrollTop] = kept.open.scroll;
  }
  refocus(kept.focused);
  showAtOnce();
}

// Show the cards that were in view before the reload at once, with the first paint.
function showAtOnce() {
  if (axes) return;
  for (const card of shown) {
    const box = card.opener.getBoundingClientRect();
    if (box.top > innerHeight) return;
    if (box.bottom < 0) continue;
    for (const image of card.opener.querySelectorAll("img")) [image.loading, image.decoding] = ["eager", "sync"];
  }
}

function refocus(kept) {
  if (!kept) return;
  const found = (kept.id && $(kept.id)) || (kept.css && document.querySelector(kept.css)) || (kept.mark && openerOf(byMark.get(kept.mark)));
  found?.focus({ preventScroll: true });
  touched = performance.now();
  if (kept.id === "search" && kept.selectionStart !== null) found.setSelectionRange(kept.selectionStart, kept.selectionEnd);
}

function isBusy() {
  const selection = getSelection();
  const isSelecting = selection && !selection.isCollapsed && document.activeElement !== $("search");
  const isReading = open && states[open.card.status].is_settled;
  const quiet = document.activeElement === $("search") ? 10000 : 1000;
  return keepers.some((each) => each.isBusy?.()) || document.hidden || paused || isSelecting || isReading || performance.now() - touched < quiet;
}

function follow(refresh) {
  // A page that takes long to render is reloaded less often.
  const delay = Math.max(refresh * 1000, 8 * performance.now());
  const old = () => (Date.now() - Date.parse(document.body.dataset.written)) / 1000;
  const say = () => {
    const quiet = old() > 60 + 5 * refresh;
    const since = new Date(document.body.dataset.written).toLocaleTimeString();
    $("live").textContent = quiet ? `No news of the batch since ${since}` : `The batch is running${paused ? ", this page waits" : ""}`;
    $("pause").textContent = paused ? "Resume" : "Pause";
    $("pause").setAttribute("aria-pressed", String(paused));
    document.documentElement.classList.toggle("paused", paused || quiet);
    return quiet;
  };
  let next = performance.now() + (say() ? 30000 : delay);
  const tick = () => {
    if (performance.now() >= next && !isBusy()) {
      keep();
      location.reload();
      return;
    }
    setTimeout(tick, 250);
  };
  $("pause").addEventListener("click", () => {
    paused = !paused;
    next = performance.now() + (paused ? 0 : 300);
    say();
  });
  // A reload would lose a click or a keystroke, so it waits until the user is idle.
  for (const each of ["scroll", "wheel", "keydown", "pointerdown", "pointermove"]) {
    addEventListener(each, () => { touched = performance.now(); }, { passive: true, capture: true });
  }
  tick();
}
