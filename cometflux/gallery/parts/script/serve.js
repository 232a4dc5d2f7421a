// The server's marks: each change is sent at once, and what other tabs changed is fetched.

const EVERY = 2000;
let tag = null;
let sent = 0;
let underWay = 0;
let sending = Promise.resolve();
let refused = ""; // why the last marks were not written

function send(changes) {
  sent += 1;
  underWay += 1;
  const body = changes.map(([file, mark]) => `${JSON.stringify({ file, mark })}\n`).join("");
  // One after another, so that the last mark of a picture is the last one that is written.
  sending = sending.then(() => ask("POST", {}, body)).then(() => {
    change(inFolder, changes);
    return "";
  }, (error) => error.message).then((why) => {
    refused = why;
    underWay -= 1;
    tag = null;
    if (!underWay) fetchPicks();
  });
}

async function ask(method, headers, body) {
  let answer;
  try {
    answer = await fetch("marks", { method, headers, body, cache: "no-store", signal: AbortSignal.timeout(10000) });
  } catch {
    answer = null;
  }
  if (answer === null || answer.status === 403) {
    throw new Error(`The server no longer runs, and marks are not written. Start it again: cometflux gallery ${document.body.dataset.folder} --serve`);
  }
  if (!answer.ok && answer.status !== 304) throw new Error(`Marks are not written: ${(await answer.text()).trim()}`);
  return answer;
}

async function fetchPicks() {
  const before = sent;
  try {
    const answer = await ask("GET", tag ? { "If-None-Match": tag } : {});
    const marks = answer.status === 200 ? new Map(Object.entries(await answer.json())) : null;
    // Marks that were set meanwhile are newer.
    if (before === sent && !underWay && marks) {
      replaceInFolder(marks);
      tag = answer.headers.get("ETag");
    }
    lost(refused);
  } catch (error) {
    if (!underWay) replacePicks(new Map(inFolder));
    lost(error.message);
  }
}

function replaceInFolder(marks) {
  inFolder.clear();
  for (const [file, mark] of marks) inFolder.set(file, mark);
  replacePicks(marks);
}

function lost(why) {
  if ($("lost").textContent !== why) $("lost").textContent = why;
  $("lost").hidden = !why;
}

if (isServed) {
  const follow = async () => {
    if (!document.hidden && !underWay) await fetchPicks();
    setTimeout(follow, EVERY);
  };
  addEventListener("load", follow);
  document.addEventListener("visibilitychange", () => { if (!document.hidden && !underWay) fetchPicks(); });
}
