// Which runs a list shows, and how: filter.js, states.js and times.js.
import assert from "node:assert/strict";
import { test } from "node:test";

const here = new URL("../../../shellstream/web/console/static/", import.meta.url);
const load = (name) => import(new URL(name, here));
const { matches, query } = await load("filter.js");
const { look } = await load("states.js");
const { age, duration, exact } = await load("times.js");

const run = {
  id: "1",
  command: "backup",
  params: { target: "NAS", note: "ünï" },
  principal: "alice",
  state: "exited",
  code: 0,
};
const all = { text: "", command: "", show: "" };

test("a run is shown that has the text anywhere, in any case", () => {
  for (const text of ["", "back", "nas", "ALICE", "ÜNÏ", "target=na"]) {
    assert.ok(matches(run, { ...all, text }), text);
  }
  for (const text of ["target", "x", "backupNAS", "note=NAS"]) {
    assert.ok(!matches(run, { ...all, text }), text);
  }
});

test("a run is shown that is of the command, and went as chosen", () => {
  assert.ok(matches(run, { ...all, command: "backup" }));
  assert.ok(!matches(run, { ...all, command: "back" }));
  const shown = (more) =>
    ["running", "queued", "success", "failure"].filter((show) =>
      matches({ ...run, ...more }, { ...all, show }),
    );
  assert.deepEqual(shown({}), ["success"]);
  assert.deepEqual(shown({ code: 1 }), ["failure"]);
  assert.deepEqual(shown({ state: "lost", code: null }), ["failure"]);
  assert.deepEqual(shown({ state: "running", code: null }), ["running"]);
  assert.deepEqual(shown({ state: "queued", code: null }), ["queued"]);
});

test("the daemon is asked for the same runs", () => {
  assert.equal(query(all), "");
  assert.equal(
    query({ text: "a b&c", command: "x", show: "failure" }),
    "text=a+b%26c&command=x&outcome=failure",
  );
  assert.equal(query({ ...all, show: "running" }), "state=running");
});

test("durations are short", () => {
  const shown = [-1, 0.04, 9.94, 59.4, 61, 3599, 3600, 86399, 90000].map(duration);
  assert.deepEqual(shown, [
    ...["0.0 s", "0.0 s", "9.9 s", "59 s", "1 min 01 s", "59 min 59 s"],
    ...["1 h 00 min", "23 h 59 min", "1 d 01 h"],
  ]);
});

test("ages are in the reader's language; what is older than a day has a date", () => {
  const ago = (seconds) => age(new Date("2026-12-01T12:00:00Z"), "en", Date.parse("2026-12-01T12:00:00Z") + seconds * 1000);
  assert.equal(ago(-3), "now");
  assert.equal(ago(30), "now");
  assert.equal(ago(60), "1 min. ago");
  assert.equal(ago(7300), "2 hr. ago");
  assert.match(ago(86400), /^Tue, Dec 1,? /);
  assert.match(ago(310 * 86400), /^Dec 1, 2026,? /);
  assert.match(exact(new Date("2026-12-01T12:00:00Z"), "en"), /Dec 1, 2026.*GMT|UTC/);
});

test("every state has words", () => {
  // From the test in Python, which says the same of the pages without scripts.
  const known = JSON.parse(process.env.LOOKS ?? "[]");
  for (const [asked, wanted] of known) assert.deepEqual(look(asked), wanted);
  for (const [seconds, wanted] of JSON.parse(process.env.DURATIONS ?? "[]")) {
    assert.equal(duration(seconds), wanted);
  }
});
