
"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const data = JSON.parse($("data").textContent);
  const states = JSON.parse($("states").textContent);
  const list = $("cards");
  const cards = Array.from(list.children, (element, place) => {
    const about = data[place];
    const prompt = stringOf(about, "prompt");
    return {
      ...about, element, place, prompt,
      mark: element.dataset.id,
      opener: element.firstElementChild,
      text: `${prompt}\n${about.key ?? ""}`.toLowerCase(),
    };
  });
  const byMark = new Map(cards.map((card) => [card.mark, card]));
  const view = $("view");
  const wanted = { query: "", status: new Set(), model: new Set(), sort: "order" };
  let order = cards;
  let shown = cards;
  let open = null; // {card, picture}
  let paused = false;
  let touched = -Infinity;

  function stringOf(about, name) {
    const found = (about.input ?? []).find(([each]) => each === name);
    return found && found[1].startsWith('"') ? JSON.parse(found[1]) : "";
  }

  // ── which cards are shown ─────────────────────────────────────────────────────────────────────────────────────────

  const compare = (one, other) => Number(one > other) - Number(one < other);
  const sorts = {
    order: (a, b) => a.place - b.place,
    newest: (a, b) => compare(b.when ?? "", a.when ?? "") || a.place - b.place,
    slowest: (a, b) => (b.seconds ?? -1) - (a.seconds ?? -1) || a.place - b.place,
  };

  function matches(card) {
    if (wanted.status.size && !wanted.status.has(card.status)) return false;
    if (wanted.model.size && !wanted.model.has(card.model)) return false;
    return wanted.query.split(/\s+/).every((word) => card.text.includes(word));
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
    $("clear").hidden = !(wanted.query || wanted.status.size || wanted.model.size);
  }

  function press(chip, set, value) {
    const isWanted = !set.has(value);
    if (isWanted) set.add(value);
    else set.delete(value);
    chip.setAttribute("aria-pressed", String(isWanted));
  }

  for (const chip of document.querySelectorAll(".chip")) {
    const { status, model } = chip.dataset;
    chip.addEventListener("click", () => {
      press(chip, status ? wanted.status : wanted.model, status ?? model);
      filter();
    });
  }
  let typed = 0;
  $("search").addEventListener("input", () => {
    clearTimeout(typed);
    // In a large set, search when the typing pauses, not at every letter.
    typed = setTimeout(() => {
      wanted.query = $("search").value.trim().toLowerCase();
      filter();
    }, cards.length / 40);
  });
  $("sort").addEventListener("change", () => {
    wanted.sort = $("sort").value;
    arrange();
    filter();
  });
  $("clear").addEventListener("click", () => {
    $("search").value = wanted.query = "";
    wanted.status.clear();
    wanted.model.clear();
    for (const chip of document.querySelectorAll(".chip")) chip.setAttribute("aria-pressed", "false");
    filter();
    $("search").focus();
  });
  document.querySelector("form.tools").addEventListener("submit", (event) => event.preventDefault());

  // ── one job, in full ──────────────────────────────────────────────────────────────────────────────────────────────

  function steps() {
    return shown.flatMap((card) => Array.from({ length: Math.max(card.pictures.length, 1) }, (_, picture) => ({ card, picture })));
  }

  function element(name, text, kind) {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    if (kind) made.className = kind;
    return made;
  }

  function sign(name) {
    const space = "http://www.w3.org/2000/svg";
    const svg = document.createElementNS(space, "svg");
    svg.setAttribute("aria-hidden", "true");
    const use = document.createElementNS(space, "use");
    use.setAttribute("href", `#i-${name}`);
    svg.append(use);
    return svg;
  }

  function blank(kind, icon, text) {
    const made = element("div", undefined, `blank ${kind}`);
    made.append(sign(icon), element("span", text, "why"));
    return made;
  }

  function imageOf(picture, card) {
    const image = element("img");
    image.alt = card.prompt || picture.name;
    if (picture.size) [image.width, image.height] = picture.size;
    image.src = picture.address;
    return image;
  }

  function pictureOf(card, number) {
    const state = states[card.status];
    const picture = card.pictures[number];
    if (!picture) return blank(card.status, state.icon, state.label);
    if (picture.here) return imageOf(picture, card);
    if (picture.fault) return blank("missing", "missing", `${picture.name}: ${picture.fault}`);
    return blank("saved", "elsewhere", `kept elsewhere: ${picture.name}`);
  }

  function define(target, pairs) {
    const parts = pairs.flatMap(([name, value]) => {
      const told = element("dd");
      told.dir = "auto";
      told.append(value);
      return [element("dt", name), told];
    });
    target.replaceChildren(...parts);
  }

  function moment(text) {
    const made = element("time", new Date(text).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" }));
    made.dateTime = made.title = text;
    return made;
  }

  const atService = { sent: "Sent", answered: "Answered", created: "Created", started: "Started", completed: "Completed" };

  function factsOf(card, picture) {
    return [
      ["Model", card.model],
      ["Key", card.key],
      ["Prediction", card.id],
      ["File", picture?.name],
      ["Size", picture?.size?.join(" × ")],
      ["At the service", card.seconds === undefined ? undefined : `${card.seconds.toFixed(2)} s`],
      ["Attempts", card.attempts && String(card.attempts)],
      ...(card.times ?? []).map(([name, time]) => [atService[name], moment(time)]),
    ].filter(([, value]) => value);
  }

  function shownValue(text) {
    return text.startsWith('"') ? JSON.parse(text) : text;
  }

  function advise(state) {
    const advice = $("view-advice");
    advice.replaceChildren();
    advice.hidden = !state.advice;
    if (!state.advice) return;
    advice.append(`${state.advice}:`, element("code", `cometflux ${state.command} ${document.body.dataset.folder}`));
  }

  function show(step) {
    open = step;
    const { card, picture: number } = step;
    const state = states[card.status];
    const picture = card.pictures[number];
    $("figure").replaceChildren(pictureOf(card, number));
    $("view-state").className = `state ${card.status}`;
    $("view-state").textContent = state.label;
    $("view-prompt").textContent = card.prompt || card.key || picture?.name || "without a prompt";
    $("view-error").className = card.status;
    $("view-error").textContent = card.error ?? "";
    $("view-error").hidden = !card.error;
    $("view-money").textContent = card.money ?? state.money;
    advise(state);
    define($("view-facts"), factsOf(card, picture));
    define($("view-input"), (card.input ?? []).filter(([name]) => name !== "prompt").map(([name, value]) => [name, shownValue(value)]));
    $("copy-prompt").hidden = !card.prompt;
    $("original").hidden = !picture?.address;
    if (picture?.address) $("original").href = picture.address;
    else $("original").removeAttribute("href");
    $("said").textContent = "";
    placeAmong();
    if (!view.open) view.showModal();
  }

  function placeAmong() {
    const all = steps();
    const place = all.findIndex((each) => each.card === open.card && each.picture === open.picture);
    $("view-place").textContent = place < 0 ? "" : `${place + 1} of ${all.length}`;
    $("before").disabled = place <= 0;
    $("after").disabled = place < 0 || place >= all.length - 1;
    return [all, place];
  }

  function turn(by) {
    const [all, place] = placeAmong();
    const next = place < 0 ? undefined : all[place + by];
    if (!next) return;
    show(next);
    $("about").scrollTop = view.scrollTop = 0;
    const after = all[place + 2 * by]?.card.pictures[all[place + 2 * by].picture];
    if (after?.here) new Image().src = after.address;
    // A disabled button that has the focus would swallow the keys.
    if (document.activeElement?.disabled || document.activeElement === document.body) $("about").focus();
  }

  async function copy(text, what) {
    try {
      await navigator.clipboard.writeText(text);
      $("said").textContent = `${what} copied`;
    } catch {
      $("said").textContent = "The browser does not allow copying; select the text instead";
    }
  }

  function parameters(card) {
    const pairs = (card.input ?? []).map(([name, value]) => `${JSON.stringify(name)}: ${value}`);
    if (card.model) pairs.unshift(`"model": ${JSON.stringify(card.model)}`);
    return `{${pairs.join(", ")}}`;
  }

  list.addEventListener("click", (event) => {
    const opener = event.target.closest(".card");
    if (!opener || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    show({ card: byMark.get(opener.parentElement.dataset.id), picture: 0 });
  });
  $("before").addEventListener("click", () => turn(-1));
  $("after").addEventListener("click", () => turn(1));
  $("close").addEventListener("click", () => view.close());
  $("copy-prompt").addEventListener("click", () => copy(open.card.prompt, "Prompt"));
  $("copy-parameters").addEventListener("click", () => copy(parameters(open.card), "Parameters"));
  $("stage").addEventListener("click", (event) => {
    if (event.target === $("stage") || event.target === $("figure")) view.close();
  });
  view.addEventListener("close", () => {
    const { card } = open;
    open = null;
    $("figure").replaceChildren();
    if (card.element.hidden) return;
    card.opener.focus({ preventScroll: true });
    card.opener.scrollIntoView({ block: "nearest" });
  });

  // ── keys ──────────────────────────────────────────────────────────────────────────────────────────────────────────

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
    if (view.open) {
      if (event.key === "ArrowRight" || event.key === "ArrowLeft") {
        event.preventDefault();
        turn(onward[event.key]);
      }
      return;
    }
    const opener = event.target.closest?.(".card");
    if (opener && (event.key in onward || event.key === "Home" || event.key === "End")) {
      walk(event, byMark.get(opener.parentElement.dataset.id));
    } else if (event.key === "/" && !/^(INPUT|SELECT)$/.test(event.target.tagName)) {
      event.preventDefault();
      $("search").focus();
    }
  });

  // ── the next version of the page ──────────────────────────────────────────────────────────────────────────────────

  function anchor() {
    const seen = shown.find((card) => card.opener.getBoundingClientRect().bottom > 0);
    return scrollY > 0 && seen ? { mark: seen.mark, top: seen.opener.getBoundingClientRect().top } : null;
  }

  function focused() {
    const active = document.activeElement;
    if (!active || active === document.body) return null;
    const { selectionStart = null, selectionEnd = null } = active.id === "search" ? active : {};
    const chip = active.dataset.status ? `[data-status="${active.dataset.status}"]` : null;
    const model = active.dataset.model ? `[data-model=${CSS.escape(active.dataset.model)}]` : null;
    return { id: active.id, css: chip ?? model, mark: active.parentElement?.dataset.id, selectionStart, selectionEnd };
  }

  function keep() {
    history.replaceState({
      query: $("search").value,
      status: [...wanted.status],
      model: [...wanted.model],
      sort: wanted.sort,
      open: open && { mark: open.card.mark, picture: open.picture, scroll: [$("about").scrollTop, view.scrollTop] },
      anchor: anchor(),
      focused: focused(),
      paused,
    }, "");
  }

  function restore(kept) {
    $("search").value = kept.query;
    wanted.query = kept.query.trim().toLowerCase();
    $("sort").value = wanted.sort = kept.sort;
    for (const chip of document.querySelectorAll(".chip")) {
      const { status, model } = chip.dataset;
      if (kept.status.includes(status) || kept.model.includes(model)) {
        press(chip, status ? wanted.status : wanted.model, status ?? model);
      }
    }
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
    for (const card of shown) {
      const box = card.opener.getBoundingClientRect();
      if (box.top > innerHeight) return;
      if (box.bottom < 0) continue;
      for (const image of card.opener.querySelectorAll("img")) [image.loading, image.decoding] = ["eager", "sync"];
    }
  }

  function refocus(kept) {
    if (!kept) return;
    const found = (kept.id && $(kept.id)) || (kept.css && document.querySelector(kept.css)) || byMark.get(kept.mark)?.opener;
    found?.focus({ preventScroll: true });
    touched = performance.now();
    if (kept.id === "search" && kept.selectionStart !== null) found.setSelectionRange(kept.selectionStart, kept.selectionEnd);
  }

  function isBusy() {
    const selection = getSelection();
    const isSelecting = selection && !selection.isCollapsed && document.activeElement !== $("search");
    const isReading = open && states[open.card.status].is_settled;
    const quiet = document.activeElement === $("search") ? 10000 : 1000;
    return document.hidden || paused || isSelecting || isReading || performance.now() - touched < quiet;
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

  document.documentElement.classList.add("scripted");
  for (const time of document.querySelectorAll("footer time")) time.textContent = new Date(time.dateTime).toLocaleString();
  addEventListener("pagehide", keep);
  if (history.state?.query !== undefined) {
    history.scrollRestoration = "manual";
    restore(history.state);
  } else {
    filter();
  }
  if (document.body.dataset.refresh) addEventListener("load", () => follow(Number(document.body.dataset.refresh)));
})();
