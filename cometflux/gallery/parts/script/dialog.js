// The dialog that shows one job in full.

let open = null; // {card, picture}

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
    ["To look at", picture?.note],
    ["Size", picture?.size?.join(" × ")],
    ["At the service", card.seconds === undefined ? undefined : `${card.seconds.toFixed(2)} s`],
    ["Attempts", card.attempts && String(card.attempts)],
    ...(card.costs ?? []).map(([name, amount]) => [name[0].toUpperCase() + name.slice(1), amount]),
    ...(card.times ?? []).map(([name, time]) => [atService[name], moment(time)]),
  ].filter(([, value]) => value);
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
  const given = (card.input ?? []).filter(([name]) => name !== "prompt").map(([name, value]) => [name, plainValue(value)]);
  define($("view-input"), [...given, ...(card.tags ?? [])]);
  $("copy-prompt").hidden = !card.prompt;
  $("original").hidden = !picture?.address;
  if (picture?.address) $("original").href = picture.address;
  else $("original").removeAttribute("href");
  $("said").textContent = "";
  placeAmong();
  if (!view.open) view.showModal();
  for (const each of onShow) each(step);
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

function openCard(event) {
  const opener = event.target.closest(".card");
  if (!opener || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  show({ card: byMark.get(opener.parentElement.dataset.id), picture: 0 });
}

list.addEventListener("click", openCard);
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
  const opener = openerOf(card);
  opener?.focus({ preventScroll: true });
  opener?.scrollIntoView({ block: "nearest", inline: "nearest" });
});
