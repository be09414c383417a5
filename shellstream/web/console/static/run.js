// The page of one run: its state, its output, and what the reader may do with them.

import { Problem, request } from "./api.js";
import { button, copy, make, opener, toggle } from "./dom.js";
import { Output } from "./output.js";
import { look } from "./states.js";
import { duration, exact } from "./times.js";

const main = document.querySelector("main");
const top = main.querySelector(".top");
const facts = main.querySelector(".facts");
const id = main.dataset.run;
const path = `runs/${id}`;
/** How often the daemon is asked about a run, in milliseconds. */
const ASK_QUEUED = 1000, ASK_RUNNING = 5000;
/** A page that nobody sees gives its connection back after this long. */
const UNSEEN = 10_000;

let run = null;
let controls = null;
let notify = false;
let connected = true;

const state = top.querySelector(".badge");
const time = make("span", { className: "soft" });
const spoken = make("p", { className: "hidden", role: "status" });
const notice = make("p", { className: "notice", role: "status" });
const log = make("div", { className: "log", tabIndex: 0, role: "region", "aria-label": "Output" });
const down = button("Follow the end", () => output.toEnd(), { className: "quiet down", hidden: true });

const hooks = {
  connected(is) {
    if (is === connected) return;
    connected = is;
    tell(is ? "" : "The connection is lost. Trying again. Until then what is here may be old.");
    showState();
    controls?.connected(is);
    if (is) guarded(refresh)();
  },
  ended() {
    if (!ended()) guarded(refresh)();
  },
  moved() {
    down.hidden = output.view.following || output.isAtEnd;
    controls?.prompted(output.view.prompt);
  },
  failed(problem) {
    tell(problem.message);
  },
};
const output = new Output(log, `${path}/output`, hooks);

/** Say something below the tools, to all readers. */
function tell(words) {
  if (notice.textContent !== words) notice.textContent = words;
}

/** Do what may be refused, and tell why. */
const guarded = (act) => async (...given) => {
  try {
    await act(...given);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    tell(error.message);
  }
};

const ended = () => run.ended !== null;

/** Ask for the run, and show what has changed. */
async function refresh() {
  const before = run;
  run = await (await request(path)).json();
  const words = showState();
  main.dataset.state = run.state;
  if (before !== null && before.state !== run.state) {
    spoken.textContent = words;
    if (ended() && notify) new Notification(`${run.command}: ${words}`, { body: taken(), tag: id });
  }
  if (run.failure) tell(`${run.failure[0].toUpperCase()}${run.failure.slice(1)}.`);
  else if (ended() && run.size === 0) tell("The command wrote nothing.");
  down.textContent = ended() ? "To the end" : "Follow the end";
  showFacts();
  showTime();
  controls?.show(run);
  if (main.classList.contains("drawn")) terminal.show(run);
}

/** Show the state, as far as it is known; returns its words. */
function showState() {
  const [kind, words] = connected || ended() ? look(run) : ["stopped", "Not connected"];
  state.className = `badge ${kind}`;
  state.lastChild.textContent = words;
  document.title = `${run.command}: ${words} · shellstream`;
  document.querySelector("link[rel=icon]").href = main.dataset[`icon${kind[0].toUpperCase()}${kind.slice(1)}`];
  return words;
}

const taken = () => {
  const from = run.started ?? run.created;
  return duration((Date.parse(run.ended ?? new Date().toISOString()) - Date.parse(from)) / 1000);
};

function showTime() {
  time.textContent = run.state === "queued" ? `waits for ${taken()}` : taken();
}

const bytes = (count) => {
  const unit = Math.min(Math.floor(Math.log10(Math.max(count, 1)) / 3), 4);
  return `${(count / 1000 ** unit).toFixed(unit && 1)} ${["bytes", "kB", "MB", "GB", "TB"][unit]}`;
};

const moment = (text) => make("time", { dateTime: text, title: text }, exact(new Date(text)));

function showFacts() {
  const known = {
    ...run.params,
    "Exit code": run.code,
    Signal: run.signal,
    Reason: run.reason,
    Why: run.failure,
    Owner: run.principal,
    Created: run.created && moment(run.created),
    Started: run.started && moment(run.started),
    Ended: run.ended && moment(run.ended),
    Output: bytes(run.size) + (run.start > 0 ? `, the last ${bytes(run.size - run.start)} kept` : ""),
    "Processor time": run.cpu_seconds !== null && duration(run.cpu_seconds),
    "Peak memory": run.peak_memory_bytes && bytes(run.peak_memory_bytes),
    Terminal: run.tty && `${run.tty.columns} × ${run.tty.rows}`,
    Run: run.id,
  };
  const shown = Object.entries(known).filter(([, value]) => value !== null && value !== false && value !== undefined);
  facts.replaceChildren(...shown.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
}

async function watch() {
  while (!ended()) {
    await new Promise((resolve) => setTimeout(resolve, run.state === "queued" ? ASK_QUEUED : ASK_RUNNING));
    try {
      if (!ended()) await refresh();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (error.status !== 0) tell(error.message);
    }
  }
}

// Links to lines.

let linked = null;
/** The byte, or the line, that the address leads to: as strings; null if to none. */
const target = () => /^#(?:o=(?<byte>\d{1,15})|L(?<number>\d{1,15})(?:-L?\d{1,15})?)$/.exec(location.hash)?.groups ?? null;

const follow = guarded(async () => {
  const { byte, number } = target();
  if (number && run.start > 0) {
    tell("The beginning of this output is not kept, so nobody knows the numbers of its lines.");
    return;
  }
  const counted = (part) => tell(`Counting lines … ${Math.floor(100 * part)} %`);
  const line = number ? await output.jumpTo(Number(number), counted) : await output.jump(Number(byte));
  tell(line !== null ? "" : number ? `There is no line ${number}.` : "This line is not kept.");
  if (line !== null) mark(line);
});

function mark(line) {
  for (const each of log.querySelectorAll(".linked")) each.classList.remove("linked");
  linked = line;
  output.view.elementOf(line)?.classList.add("linked");
}

function link(line) {
  const number = output.log.numberOf(line);
  history.replaceState(null, "", number === null ? `#o=${line.offset}` : `#L${number}`);
  mark(line);
}

async function copyLink() {
  const line = linked ?? output.view.first;
  if (line === null) return;
  link(line);
  await copy(location.href);
  tell("The link to the marked line is copied.");
}

log.addEventListener("click", (event) => {
  const { target: element, offsetX } = event;
  const isNumber = element.matches(".line") && offsetX < parseFloat(getComputedStyle(element).paddingLeft);
  if (isNumber) link(output.view.lineOf(element));
});
log.addEventListener("pointerover", (event) => {
  const line = event.target.closest?.(".line") && output.view.lineOf(event.target);
  if (line?.time) event.target.closest(".line").title = `${exact(new Date(line.time))} (${line.time}), byte ${line.offset}`;
});
log.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.target !== log) return;
  if (event.key === "End") output.toEnd();
  else if (event.key === "Home") output.toStart();
  else return;
  event.preventDefault();
});
window.addEventListener("hashchange", () => target() && follow());

// A run on a terminal shows its screen, or its lines.

let terminal = null;

async function showScreen() {
  const { Terminal } = await import("./terminal.js");
  terminal = new Terminal(`${path}/output`, hooks);
  log.after(terminal.element);
  const show = (screen) => {
    main.classList.toggle("drawn", screen);
    if (screen) {
      output.detach();
      terminal.show(run);
    } else {
      terminal.close();
      output.open(run);
    }
  };
  tools.append(toggle("Screen", show, true));
}

// Tools.

async function copyOutput() {
  const selected = String(getSelection());
  const lines = output.log.blocks.flatMap((block) => block.lines.filter((line) => !line.sent).map((line) => line.text));
  await copy(selected || lines.join("\n"));
  const part = output.log.from > run.start || output.detached;
  tell(selected ? "The selection is copied." : `${lines.length.toLocaleString()} lines are copied${part ? ", those that are loaded; the download has all" : ""}.`);
}

const firstError = guarded(async () => {
  tell("Looking for the first line on stderr …");
  const answer = await request(`${path}/output?stream=stderr&follow=false`, { headers: { Accept: "application/x-ndjson" } });
  const { firstOutput } = await import("./find.js");
  const found = await firstOutput(answer.body);
  tell(found === null ? "Nothing was written to stderr." : "");
  if (found !== null) mark(await output.jump(found));
});

/** A toggle that is remembered, for all runs. */
const setting = (words, key, usual) => toggle(words, (on) => {
  log.classList.toggle(key, on);
  output.view.stay();
  localStorage.setItem(`shellstream-${key}`, on);
}, (localStorage.getItem(`shellstream-${key}`) ?? usual) === "true");

const name = `${top.querySelector("h1").textContent}-${id.slice(0, 8)}.log`;
const field = make("input", { type: "search", placeholder: "Search the output", "aria-label": "Search the whole output" });
const count = make("output", { className: "soft" });
const finder = make("form", { role: "search", className: "find" },
  field,
  button("↑", () => find(-1), { "aria-label": "Previous match" }),
  button("↓", () => find(1), { "aria-label": "Next match" }),
  count,
);
let search = null;

const find = guarded(async (step) => {
  if (search === null) {
    const { Search } = await import("./find.js");
    search = new Search(output, () => run, { field, count, mark });
  }
  await search.go(step);
});

finder.addEventListener("submit", (event) => {
  event.preventDefault();
  find(1);
});
field.addEventListener("input", () => search?.clear());
field.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && event.shiftKey) {
    event.preventDefault();
    find(-1);
  }
});

const buttons = make("div", { className: "buttons panel", role: "group", "aria-label": "Output" },
  setting("Wrap", "wrap", "true"),
  setting("Times", "times", "false"),
  button("First error", firstError, { title: "The first line on stderr" }),
  button("Copy", guarded(copyOutput)),
  button("Link", guarded(copyLink), { title: "Copy a link to the marked line, or to the first one on the screen" }),
  make("a", { className: "button quiet", href: `${id}/output?follow=false&gap=skip`, download: name }, "Download"),
  make("a", { className: "button quiet", href: `${id}/output` }, "Raw"),
);
// On a small screen the buttons are in a panel.
const tools = make("div", { className: "tools" }, finder, opener("⋯", buttons, { "aria-label": "More for the output", className: "quiet small" }), buttons);
const more = make("div", { className: "more panel", role: "group", "aria-label": "Details" }, facts);
const actions = make("div", { className: "actions" }, opener("Details", more), more);
top.append(time, actions);
main.append(spoken, tools, notice, make("div", { className: "screen" }, log, down));
main.classList.add("live");

document.addEventListener("visibilitychange", () => {
  if (main.classList.contains("drawn")) return;
  if (!document.hidden) {
    output.attach();
    return;
  }
  setTimeout(() => {
    if (document.hidden && !notify) output.detach();
  }, UNSEEN);
});

await refresh();
if (run.tty && !target()) await showScreen();
else output.open(run);
if (target()) follow();
setInterval(() => ended() || showTime(), 1000);
watch();

const { Controls } = await import("./controls.js");
controls = new Controls({
  main, actions, panel: more, output, path, guarded, tell, refresh,
  setNotify(on) {
    notify = on;
  },
});
controls.show(run);
controls.connected(connected);
controls.prompted(output.view.prompt);
