// The search and the filters.

function press(chip, set, value) {
  const isWanted = !set.has(value);
  if (isWanted) set.add(value);
  else set.delete(value);
  chip.setAttribute("aria-pressed", String(isWanted));
}

for (const { chip, kind, value } of chips) {
  chip.addEventListener("click", () => {
    press(chip, wanted[kind], value);
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
  for (const { kind } of chips) wanted[kind].clear();
  for (const each of filters) each.clear();
  for (const chip of document.querySelectorAll(".chips .chip")) chip.setAttribute("aria-pressed", "false");
  filter();
  $("search").focus();
});
document.querySelector("form.tools").addEventListener("submit", (event) => event.preventDefault());
