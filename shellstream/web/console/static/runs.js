// The list of runs, live through /events.
import { Problem, request } from "./api.js";
import { matches, query } from "./filter.js";
import { root } from "./session.js";
import { look } from "./states.js";
import { age, duration, exact } from "./times.js";

/** How many rows stay, unless the reader asks for older ones. */
const MOST = 200;

const section = document.getElementById("runs");
const rows = document.getElementById("rows");
const older = document.getElementById("older");
const filters = document.getElementById("filters");
const connection = document.getElementById("connection");
const template = document.getElementById("row");

let most = MOST;
/** The path of the next page, null if there is none. @type {string | null} */
let following = null;
/** Counts the choices of the reader: what an earlier one asked for comes too late. */
let turn = 0;
let last = section?.dataset.events;
/** @type {EventSource | null} */
let source = null;

const choice = () => Object.fromEntries(new FormData(filters));
const isFirstPage = () => !new URLSearchParams(location.search).has("after");

if (section) {
  for (const row of rows.children) tick(row);
  if (!older.hidden) {
    const page = new URL(older.href).searchParams;
    const after = new URLSearchParams({ after: page.get("after") });
    following = `runs?${[query(choice()), after].filter(String).join("&")}`;
  }
  older.addEventListener("click", (event) => {
    event.preventDefault();
    most = Infinity;
    more(turn);
  });
  filters.addEventListener("submit", (event) => event.preventDefault());
  filters.addEventListener("input", chosen);
  setInterval(() => document.hidden || [...rows.children].forEach(tick), 1000);
  // A browser has six connections to a host: tabs that nobody sees need none.
  document.addEventListener("visibilitychange", () => (document.hidden ? leave() : watch()));
  if (!document.hidden) watch();
}

// Rows.

/** Show a run in its row, or in a new one; one of a page that is not here has none. */
function put(run, isHere = false) {
  let row = document.getElementById(`run-${run.id}`);
  if (!matches(run, choice())) {
    row?.remove();
    return;
  }
  if (!row) {
    row = template.content.firstElementChild.cloneNode(true);
    row.id = `run-${run.id}`;
    row.querySelector("a").href = `${root}runs/${run.id}`;
    row.querySelector(".name").textContent = run.command;
    const params = Object.entries(run.params).map(([name, value]) => `${name}=${value}`);
    row.querySelector(".params").textContent = params.join("  ").slice(0, 200);
    row.querySelector(".owner").textContent = run.principal === "anonymous" ? "" : run.principal;
    row.querySelector("time").dateTime = run.created;
    // Ids sort by time.
    const next = [...rows.children].find((each) => each.id < row.id);
    if (!next && following && !isHere) return;
    rows.insertBefore(row, next ?? null);
  }
  const [kind, words] = look(run);
  const badge = row.querySelector(".badge");
  badge.className = `badge ${kind}`;
  badge.querySelector(".words").textContent = words;
  row.dataset.started = run.started ? Date.parse(run.started) : "";
  const took = row.querySelector(".took");
  took.textContent =
    run.started && run.ended
      ? duration((Date.parse(run.ended) - Date.parse(run.started)) / 1000)
      : "";
  tick(row);
}

/** Show how long ago a run began, and how long it runs. */
function tick(row) {
  const time = row.querySelector("time");
  const created = new Date(time.dateTime);
  set(time, age(created));
  time.title ||= exact(created);
  if (row.querySelector(".badge").classList.contains("running")) {
    set(row.querySelector(".took"), duration((Date.now() - row.dataset.started) / 1000));
  }
}

function set(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Keep the list as short as the reader has asked for. */
function trim() {
  while (rows.children.length > most) {
    rows.lastElementChild.remove();
    const after = rows.lastElementChild.id.replace("run-", "");
    following = `runs?${[query(choice()), `after=${after}`].filter(String).join("&")}`;
  }
  older.hidden = following === null;
  document.getElementById("nothing").hidden = rows.children.length > 0;
}

// Pages.

/** Show the next page; where a text is searched, some may be empty. */
async function more(now) {
  older.setAttribute("aria-busy", "true");
  const before = rows.children.length;
  try {
    while (following !== null && rows.children.length === before && now === turn) {
      const page = await (await request(following)).json();
      if (now !== turn) return;
      following = page.next;
      for (const run of page.runs) put(run, true);
    }
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    say(error.message);
  } finally {
    older.removeAttribute("aria-busy");
    trim();
  }
}

/** The reader wants to see other runs. */
async function chosen() {
  const now = ++turn;
  const fields = Object.entries(choice()).filter(([, value]) => value);
  history.replaceState(null, "", `${location.pathname}?${new URLSearchParams(fields)}`);
  await new Promise((resolve) => setTimeout(resolve, 150)); // while keys are pressed
  if (now === turn) await reload(now);
}

async function reload(now) {
  most = MOST;
  rows.replaceChildren();
  following = `runs?${query(choice())}`;
  await more(now);
}

// Events.

function watch() {
  if (source) return;
  source = new EventSource(`${root}events?lastEventId=${encodeURIComponent(last)}`);
  for (const name of ["created", "started", "ended"]) {
    source.addEventListener(name, (event) => {
      last = event.lastEventId;
      if (isFirstPage()) put(JSON.parse(event.data).run);
      trim();
    });
  }
  source.addEventListener("gap", (event) => {
    last = event.lastEventId;
    reload(++turn);
  });
  source.addEventListener("open", () => say(""));
  source.addEventListener("error", async () => {
    say("The connection is broken. Trying again.");
    if (source?.readyState !== EventSource.CLOSED) return; // the browser tries again
    leave();
    // It was refused: by a login that has ended, or by a daemon that is busy.
    await request("commands", { method: "HEAD" }).catch(() => {});
    setTimeout(() => document.hidden || watch(), 1000);
  });
}

function leave() {
  source?.close();
  source = null;
}

function say(text) {
  set(connection, text);
}
