// Runs when all other files were run.

document.documentElement.classList.add("scripted");
for (const time of document.querySelectorAll("footer time")) time.textContent = new Date(time.dateTime).toLocaleString();
addEventListener("pagehide", keep);
decorateAll();
if (history.state?.query !== undefined) {
  history.scrollRestoration = "manual";
  restore(history.state);
} else {
  filter();
}
openLinked();
if (document.body.dataset.refresh) addEventListener("load", () => follow(Number(document.body.dataset.refresh)));
