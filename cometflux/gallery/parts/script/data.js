// The jobs of the page, and the places where other files of the script join in.

const $ = (id) => document.getElementById(id);
const data = JSON.parse($("data").textContent);
const states = JSON.parse($("states").textContent);
const list = $("cards");
const cards = Array.from(list.children, (element, place) => {
  const about = data[place];
  const prompt = stringOf(about, "prompt");
  const notes = about.pictures.map((picture) => picture.note ?? "");
  const tags = (about.tags ?? []).map((tag) => tag.join(" "));
  return {
    ...about, element, place, prompt,
    mark: element.dataset.id,
    opener: element.firstElementChild,
    flaws: about.pictures.map((picture) => picture.flaw),
    text: [prompt, about.key ?? "", ...tags, ...notes].join("\n").toLowerCase(),
  };
});
const byMark = new Map(cards.map((card) => [card.mark, card]));
const view = $("view");
// The chips of a kind are those with a data attribute of its name, and what they want is in the set.
const wanted = { query: "", status: new Set(), model: new Set(), flaw: new Set(), sort: "order" };
const chips = ["status", "model", "flaw"].flatMap((kind) => Array.from(
  document.querySelectorAll(`.chip[data-${kind}]`), (chip) => ({ chip, kind, value: chip.dataset[kind] }),
));
let order = cards;
let shown = cards;

function stringOf(about, name) {
  const found = (about.input ?? []).find(([each]) => each === name);
  return found && found[1].startsWith('"') ? JSON.parse(found[1]) : "";
}

// A card is shown if each lets it: {test(card), isOn(), clear()}.
const filters = [];
// Called when other cards are shown than before, or in another order.
const onFilter = [];
// What outlives a reload of the page: {name, keep(), restore(kept)}.
const keepers = [];
// Called with {card, picture} when the dialog shows a picture.
const onShow = [];
// Called with a keydown event and the card that it concerns, if any; the first that returns true has taken the key.
const onKey = [];
