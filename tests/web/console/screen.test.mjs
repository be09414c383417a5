// What a program that moves the cursor has drawn; see test_reader.py for the rest.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Screen } from "../../../shellstream/web/console/static/screen.js";
import { Random } from "./random.mjs";

const encoder = new TextEncoder();

function shown(output, rows = 4, columns = 10) {
  const screen = new Screen(rows, columns);
  screen.write(encoder.encode(output));
  return screen.shown.map(({ text }) => text.trimEnd());
}

test("long lines wrap, and the screen scrolls", () => {
  assert.deepEqual(shown("0123456789abc\r\nx\r\ny\r\nz"), ["abc", "x", "y", "z"]);
  assert.deepEqual(shown("\x1b[?7l0123456789abc"), ["012345678c", "", "", ""]);
});

test("a wide character takes two cells, a mark none; half of one is blank", () => {
  assert.deepEqual(shown("日本語テキスト"), ["日本語テキ", "スト", "", ""]);
  assert.deepEqual(shown("012345678日"), ["012345678", "日", "", ""]);
  assert.deepEqual(shown("日本\x1b[2Gx"), [" x本", "", "", ""]);
  assert.deepEqual(shown("日本\x1b[3Gx"), ["日x", "", "", ""]);
  assert.deepEqual(shown("e\u0301👍\u200d\u0301!"), ["e\u0301👍\u0301!", "", "", ""]);
  assert.equal(shown(`a${"\u0301".repeat(99)}`)[0].length, 9);
});

test("lines are inserted and deleted within the scroll region", () => {
  const text = "a\r\nb\r\nc\r\nd";
  assert.deepEqual(shown(`${text}\x1b[1;3r\x1b[2H\x1b[M`), ["a", "c", "", "d"]);
  assert.deepEqual(shown(`${text}\x1b[1;3r\x1b[2H\x1b[L`), ["a", "", "b", "d"]);
  assert.deepEqual(shown(`${text}\x1b[2;3r\x1b[S`), ["a", "c", "", "d"]);
  assert.deepEqual(shown(`${text}\x1b[2;3r\x1b[T`), ["a", "", "b", "d"]);
});

test("the alternate screen goes, and the main one is as it was", () => {
  assert.deepEqual(shown("main\x1b[?1049hother\x1b[2;2Hx"), ["    other", " x", "", ""]);
  assert.deepEqual(shown("main\x1b[?1049hother\x1b[2;2Hx\x1b[?1049l!"), ["main!", "", "", ""]);
});

test("the cursor is saved and restored, and boxes are drawn", () => {
  assert.deepEqual(shown("ab\x1b7\x1b[3;3Hx\x1b8c"), ["abc", "", "  x", ""]);
  assert.deepEqual(shown("\x1b(0lqk\x1b(B q"), ["┌─┐ q", "", "", ""]);
});

test("titles and what else is not drawn leave no trace", () => {
  assert.deepEqual(shown("a\x1b]0;title\x07b\x1bPq\x1b\\c\x1b[?2004hd\x1b[>4;1m\x1b=e"), ["abcde", "", "", ""]);
});

test("whatever comes, the screen keeps its size, and the cursor is on it", () => {
  const random = new Random(7);
  const finals = [..."ABCDEFGHJKLMPSTX@bdfhlmrsu`ae"];
  for (let count = 0; count < 300; count += 1) {
    const screen = new Screen(5, 12);
    for (let step = 0; step < 60; step += 1) {
      const params = Array.from({ length: random.below(3) }, () => random.choice([0, 1, 2, 4, 9, 40, 9999])).join(";");
      screen.write(encoder.encode(random.choice([
        `\x1b[${params}${random.choice(finals)}`, `\x1b[?${random.choice([6, 7, 25, 47, 1049])}${random.choice(["h", "l"])}`,
        "text", "\n", "\t", "\b", "\x1bM", "\x1bD", "\x1b7", "\x1b8", "\x1bc", "é😀", "\x1b]x", "\x1b[",
      ])));
      assert.equal(screen.lines.length, 5);
      for (const line of screen.lines) assert.equal(line.filter(Boolean).length, 12);
      assert.ok(screen.row >= 0 && screen.row < 5 && screen.column >= 0 && screen.column <= 12);
    }
  }
});
