// The address of the page names the job that is open, so that it can be linked to.

function address(mark) {
  try {
    history.replaceState(history.state, "", mark ? `#${mark}` : location.pathname + location.search);
  } catch {
    // Some browsers do not allow it for a page on the disk.
  }
}

function openLinked() {
  const mark = location.hash.slice(1);
  if (!/^[0-9a-f]{12}$/.test(mark)) return;
  const card = byMark.get(mark);
  if (card) show({ card, picture: 0 });
  else $("shown").textContent += "; the picture of this link is not on this page";
}

onShow.push(({ card }) => address(card.mark));
view.addEventListener("close", () => address(""));
addEventListener("hashchange", openLinked);
