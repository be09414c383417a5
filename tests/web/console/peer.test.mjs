// Colours and attributes are those that another reader, of the same sequences, finds.

import assert from "node:assert/strict";
import { test } from "node:test";

import { createAnsiSequenceParser, createColorPalette } from "ansi-sequence-parser";

import { Reader } from "../../../shellstream/web/console/static/reader.js";
import * as style from "../../../shellstream/web/console/static/sgr.js";
import { Random } from "./random.mjs";

const encoder = new TextEncoder();
const NAMES = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];
const NAMED = [...NAMES, ...NAMES.map((name) => `bright${name[0].toUpperCase()}${name.slice(1)}`)];
const ATTRIBUTES = {
  bold: style.BOLD, dim: style.DIM, italic: style.ITALIC, underline: style.UNDERLINE, reverse: style.REVERSE,
  hidden: style.HIDDEN, strikethrough: style.STRIKE, overline: style.OVERLINE,
};

function ours(text) {
  const found = [];
  const reader = new Reader((line) => {
    let at = 0;
    for (let run = 0; run < line.runs.length; run += 2) {
      const { fg, bg, flags } = line.runs[run];
      for (const each of line.text.slice(at, at += line.runs[run + 1])) found.push([each, fg, bg, flags]);
    }
  });
  reader.write(encoder.encode(text), 0, null);
  reader.end();
  return found;
}

function theirs(text) {
  const palette = createColorPalette();
  const colour = (given) => {
    if (given === null) return null;
    if (given.type === "named") return NAMED.indexOf(given.name);
    if (given.type === "table" && given.index < 16) return given.index;
    return given.type === "table" ? palette.value(given) : `#${given.rgb.map((each) => each.toString(16).padStart(2, "0")).join("")}`;
  };
  return createAnsiSequenceParser().parse(text).flatMap(({ value, foreground, background, decorations }) => {
    const flags = [...decorations].reduce((all, name) => all | ATTRIBUTES[name], 0);
    return [...value].map((each) => [each, colour(foreground), colour(background), flags]);
  });
}

test("random colours and attributes", () => {
  const random = new Random(14);
  const codes = [
    () => `${random.choice([1, 2, 3, 4, 7, 8, 9, 53])}`,
    () => `${random.choice([22, 23, 24, 27, 28, 29, 55])}`,
    () => `${random.choice([30, 40, 90, 100]) + random.below(8)}`,
    () => `${random.choice([38, 48])};5;${random.below(256)}`,
    () => `${random.choice([38, 48])};2;${random.below(256)};${random.below(256)};${random.below(256)}`,
    () => `${random.choice([39, 49])}`,
    () => "0",
  ];
  for (let count = 0; count < 3000; count += 1) {
    // The other reader takes an empty parameter for none, and the codes of a sequence
    // resets first: ours has one code in each.
    const text = Array.from({ length: 1 + random.below(12) }, () =>
      random.below(2) ? `\x1b[${random.choice(codes)()}m` : random.choice(["a", "bc", "é", "😀", " "])).join("");
    const expected = theirs(text);
    assert.deepEqual(ours(text), expected, JSON.stringify(text));
  }
});
