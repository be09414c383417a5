// The part of an output that the page holds: blocks, groups, and what is dropped.

import assert from "node:assert/strict";
import { test } from "node:test";

import { hidden, Log, MAX_LINES } from "../../../shellstream/web/console/static/log.js";

const encoder = new TextEncoder();
const piece = (offset, text, err = false) => ({ offset, time: "now", err, bytes: encoder.encode(text) });
const lines = (log) => log.blocks.flatMap((block) => block.lines);
const texts = (log) => lines(log).map((line) => line.text);

test("a window that begins within a line begins with the next one", () => {
  const log = new Log();
  log.begin(100, true);
  log.take(piece(100, "st"));
  log.take(piece(102, "ill\nwhole\npart"));
  assert.deepEqual(texts(log), ["whole"]);
  assert.deepEqual([log.from, log.end, log.current.text], [106, 116, "part"]);
});

test("the middle of a very long line is shown, as it has no beginning near", () => {
  const log = new Log();
  log.begin(7, true);
  for (let at = 0; at < 6; at += 1) log.take(piece(7 + at * 16384, "x".repeat(16384)));
  assert.ok(log.from < 7 + 6 * 16384);
  assert.ok(texts(log).join("").length + (log.current?.text.length ?? 0) > 16384);
});

test("what is read back stands before, and the rest stays", () => {
  const log = new Log();
  log.begin(6);
  log.take(piece(6, "c\nd"));
  const earlier = new Log();
  earlier.begin(2, false);
  earlier.take(piece(2, "a\nb\n"));
  assert.equal(log.prepend(earlier), false);
  log.take(piece(9, "e\n"));
  assert.deepEqual(texts(log), ["a", "b", "c", "de"]);
  assert.deepEqual([log.from, log.end], [2, 11]);
});

test("memory is bounded: a flood drops the oldest, reading back the newest", () => {
  const log = new Log();
  const flood = "x\n".repeat(1000);
  for (let at = 0; at < 50; at += 1) log.take(piece(at * 2000, flood));
  assert.ok(lines(log).length <= MAX_LINES);
  assert.equal(log.from, lines(log)[0].offset);
  assert.equal(log.end, 100_000);
  let dropped = false;
  while (log.from > 0) {
    const earlier = new Log();
    earlier.begin(log.from - 2000);
    earlier.take(piece(log.from - 2000, flood));
    dropped = log.prepend(earlier) || dropped;
  }
  assert.ok(dropped);
  assert.ok(lines(log).length <= MAX_LINES);
  // It goes on without a gap or a repeat.
  const { end } = log;
  assert.equal(lines(log).at(-1).offset, end - 2);
  log.take(piece(end, "next\n"));
  assert.equal(lines(log).at(-1).text, "next");
  assert.equal(lines(log).at(-1).offset, end);
});

test("a gap is a line of its own", () => {
  const log = new Log();
  log.take(piece(0, "a\npart"));
  log.take({ type: "gap", offset: 6, end: 106, bytes: 100 });
  log.take(piece(106, "b\n"));
  assert.deepEqual(lines(log).map((line) => line.gap ?? line.text), ["a", "part", 100, "b"]);
});

test("a line is found by any of its bytes", () => {
  const log = new Log();
  log.begin(10);
  log.take(piece(10, "ab\ncd\n"));
  assert.deepEqual([9, 10, 12, 13, 15, 16].map((offset) => log.find(offset)?.text), [undefined, "ab", "ab", "cd", "cd", undefined]);
});

test("lines have numbers from the beginning on, which a gap ends", () => {
  const log = new Log();
  log.take(piece(0, `a\n${"x".repeat(40_000)}\nb\nsection_end:1:s\r\nc\nd`));
  const numbers = (some) => some.map((line) => `${line.text[0]}${log.numberOf(line)}`);
  assert.deepEqual([...new Set(numbers(lines(log)))], ["a1", "x2", "b3", "c5"]);
  assert.deepEqual(numbers([log.current]), ["d6"]);
  assert.equal(log.numbered(3).text, "b");
  assert.equal(log.numbered(4).text, "c");
  assert.equal(log.numbered(7), null);
  const sent = log.echo("typed");
  assert.deepEqual(texts(log).slice(-2), ["d", "typed"]);
  log.retract(sent);
  assert.equal(texts(log).at(-1), "d");
  log.take({ type: "gap", offset: log.end, end: log.end + 10 });
  log.take(piece(log.end, "e\n"));
  assert.equal(log.numberOf(lines(log).at(-1)), null);
});

test("numbers are counted on and back from a line that has one", () => {
  const log = new Log();
  log.begin(100, true);
  log.take(piece(100, "rest\nc\nd\n"));
  const numbers = () => lines(log).map((line) => [line.text, log.numberOf(line)]);
  assert.deepEqual(numbers(), [["c", null], ["d", null]]);
  log.locate(lines(log)[1], 52);
  const earlier = new Log();
  earlier.begin(96, true);
  earlier.take(piece(96, "\na\nb---\n"));
  log.prepend(earlier);
  assert.deepEqual(numbers(), [["a", 49], ["b---", 50], ["c", 51], ["d", 52]]);
});

test("what is read back to the beginning tells the numbers of what follows", () => {
  const log = new Log();
  log.begin(4, true);
  log.take(piece(4, "--\nc\n"));
  const first = new Log();
  first.take(piece(0, "a\nb---\n"));
  log.prepend(first);
  assert.deepEqual(lines(log).map((line) => log.numberOf(line)), [1, 2, 3]);
});

test("groups fold, one within the other; a marker alone is no line", () => {
  const log = new Log();
  log.take(piece(0, [
    "section_start:1:build[collapsed=true]\r\x1b[0KBuild", "compiling", "::group::Tests", "test 1", "::endgroup::", "linking",
    "section_end:2:build\r\x1b[0K", "done", "::endgroup::", "",
  ].join("\n")));
  assert.deepEqual(
    lines(log).map((line) => [line.text, hidden(line)]),
    [["Build", false], ["compiling", true], ["Tests", true], ["test 1", true], ["linking", true], ["done", false]],
  );
  const [build, , inner] = lines(log);
  build.head.folded = false;
  assert.deepEqual(lines(log).filter(hidden), []);
  inner.head.folded = true;
  assert.deepEqual(lines(log).filter(hidden).map((line) => line.text), ["test 1"]);
});

test("a thousand groups within each other are no deeper than can be shown", () => {
  const log = new Log();
  log.take(piece(0, "::group::x\n".repeat(1000)));
  assert.ok(Math.max(...lines(log).map((line) => line.group?.depth ?? 0)) <= 16);
});
