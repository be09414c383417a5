// Search finds what the page shows, wherever the bytes are cut.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Scanner } from "../../../shellstream/web/console/static/scanner.js";

const encoder = new TextEncoder();

function search(needle, text, size = Infinity, offset = 0) {
  const hits = [];
  const scanner = new Scanner(needle, offset, (hit) => hits.push(hit));
  const bytes = encoder.encode(text);
  for (let at = 0; at < bytes.length; at += size) scanner.write(bytes.subarray(at, at + size));
  scanner.end();
  assert.equal(scanner.offset, offset + bytes.length);
  return hits;
}

test("a match is the offset of its line, whatever its case", () => {
  for (const size of [1, 2, 3, 1000]) {
    assert.deepEqual(search("error", "ok\nan Error é\nERROR and error\nerr\nor\nlast error", size, 50), [53, 65, 88], `${size}`);
  }
});

test("colours within a word do not hide it, and what was redrawn is not found", () => {
  for (const size of [1, 5, 1000]) {
    assert.deepEqual(search("error", "\x1b[31mer\x1b[1mror\x1b[0m\nerror\r\x1b[Kfine\n", size), [0], `${size}`);
  }
});

test("a long line is found in parts", () => {
  const hits = search("needle", `${"x".repeat(200_000)}needle${"y".repeat(100_000)}\n`, 4096);
  assert.equal(hits.length, 1);
});
