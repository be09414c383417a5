// What the page shows of output: text, colours, and what is redrawn in place.

import assert from "node:assert/strict";
import { test } from "node:test";

import { MAX_CELLS, Reader } from "../../../shellstream/web/console/static/reader.js";
import * as style from "../../../shellstream/web/console/static/sgr.js";
import { Random } from "./random.mjs";

const encoder = new TextEncoder();

/** All lines of some bytes, which come in parts of the sizes that `sizes` gives. */
function read(bytes, size = () => bytes.length) {
  const lines = [];
  const reader = new Reader((line) => lines.push(line));
  for (let at = 0; at < bytes.length;) {
    const end = Math.min(bytes.length, at + size());
    reader.write(bytes.subarray(at, end), at, "now");
    at = end;
  }
  reader.end();
  return lines;
}

const texts = (text) => read(encoder.encode(text)).map((line) => line.text);
/** The runs of the first line: text and style of each. */
function runs(text) {
  const [line] = read(encoder.encode(text));
  let at = 0;
  return line.runs.flatMap((each, k) => k % 2 ? [] : [[line.text.slice(at, at += line.runs[k + 1]), each]]);
}

test("lines end at \\n, and the last may have no end", () => {
  assert.deepEqual(texts("a\nb\r\n\nc"), ["a", "b", "", "c"]);
});

test("a line knows the offset of its first byte, in bytes", () => {
  const lines = read(encoder.encode("é\n\x1b[1mx\n\ny"), () => 1);
  assert.deepEqual(lines.map((line) => line.offset), [0, 3, 9, 10]);
});

test("\\r and EL redraw the line: a progress bar is one bar", () => {
  assert.deepEqual(texts("[#   ] 25%\r[##  ] 50%\r[####] 100%\n"), ["[####] 100%"]);
  assert.deepEqual(texts("long text\rab\n"), ["abng text"]);
  assert.deepEqual(texts("long text\r\x1b[Kab\n"), ["ab"]);
  assert.deepEqual(texts("long text\x1b[2K\rab\n"), ["ab"]);
  assert.deepEqual(texts("abc\x1b[2Kd\n"), ["   d"]);
  assert.deepEqual(texts("abc\rX\x1b[1Ky\n"), [" yc"]);
  assert.deepEqual(texts("passwort\bd\n"), ["password"]);
  assert.deepEqual(texts("a\tb\rX\n"), ["X       b"]);
});

test("the unfinished line is shown as it stands", () => {
  const reader = new Reader(assert.fail);
  reader.write(encoder.encode("10%\r2"), 0, "now");
  assert.equal(reader.current.text, "20%");
  reader.write(encoder.encode("0%"), 5, "now");
  assert.equal(reader.current.text, "20%");
});

test("colours: 16, 256 and true colour, in both notations", () => {
  const fg = (params) => runs(`\x1b[${params}mx`)[0][1].fg;
  assert.equal(fg("31"), 1);
  assert.equal(fg("97"), 15);
  assert.equal(fg("38;5;9"), 9);
  assert.equal(fg("38;5;208"), "#ff8700");
  assert.equal(fg("38:5:244"), "#808080");
  assert.equal(fg("38;2;1;2;3"), "#010203");
  assert.equal(fg("38:2:1:2:3"), "#010203");
  assert.equal(fg("38:2::1:2:3"), "#010203");
  assert.equal(fg("31;38;5;999"), 1, "no such colour");
  assert.equal(fg("31;39"), null);
  const [[, both]] = runs("\x1b[1;38;2;9;9;9;48;5;0;4mx");
  assert.deepEqual(both, { fg: "#090909", bg: 0, flags: style.BOLD | style.UNDERLINE, link: "" });
});

test("attributes are set and reset", () => {
  const flags = (params) => runs(`\x1b[${params}mx`)[0][1].flags;
  assert.equal(flags("1;2;3;4;5;7;8;9;53"), 511);
  for (const [reset, left] of [[22, 508], [23, 507], [24, 503], [25, 495], [27, 479], [28, 447], [29, 383], [55, 255], [0, 0], ["4:0", 503]]) {
    assert.equal(flags(`1;2;3;4;5;7;8;9;53;${reset}`), left, `${reset}`);
  }
  assert.equal(flags("1;"), 0, "an empty parameter is 0");
  assert.equal(flags("4:3"), style.UNDERLINE, "curly");
});

test("colours last until they are reset, over lines too", () => {
  const [, second] = read(encoder.encode("\x1b[31ma\nb\x1b[mc\n"));
  assert.deepEqual(second.runs, [{ ...style.PLAIN, fg: 1 }, 1, style.PLAIN, 1]);
});

test("other sequences are removed", () => {
  for (const each of [
    "\x1b[2J", "\x1b[H", "\x1b[12;3H", "\x1b[?25l", "\x1b[?1049h", "\x1b[>4;1m", "\x1b[0 q", "\x1b(B", "\x1b=", "\x1bM", "\x1b#8",
    "\x1b%G", "\x1b]0;title\x07", "\x1b]2;title\x1b\\", "\x1b]52;c;QUJD\x07", "\x1bP1$r0m\x1b\\", "\x1b_Gf=100;AAAA\x1b\\",
    "\x1b^pm\x1b\\", "\x1bXsos\x1b\\", "\x9b2J", "\x9d0;title\x9c", "\x90q\x9c", "\x1b[1\x18", "\x1b]8;;x\x1a", "\x0f", "\x1b[38;5", "\x1b[",
  ]) {
    const open = each === "\x1b[38;5" || each === "\x1b[";
    assert.deepEqual(texts(`a${each}${open ? "" : "b"}\nc`), [open ? "a" : "ab", "c"], JSON.stringify(each));
  }
});

test("an unfinished sequence hides no other line", () => {
  assert.deepEqual(texts("a\x1b]8;;http://x\nb\x1bP\nc\x1b[1\nd"), ["a", "b", "c", "d"]);
});

test("a link is text with its address, if that is of the web", () => {
  const link = (uri, end = "\x1b\\") => `\x1b]8;id=1;${uri}${end}text\x1b]8;;${end}!`;
  assert.deepEqual(texts(link("https://example.org/a?b#c")), ["text (https://example.org/a?b#c)!"]);
  assert.deepEqual(texts(link("http://münchen.example/ü", "\x07")), ["text (http://xn--mnchen-3ya.example/%C3%BC)!"]);
  assert.equal(runs(link("https://example.org"))[0][1].link, "https://example.org/");
  for (const uri of ["javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "https://", "http://a b", `https://${"x".repeat(3000)}`]) {
    assert.deepEqual(texts(link(uri)), ["text!"], uri.slice(0, 50));
  }
});

test("what hides or reorders text is shown", () => {
  assert.deepEqual(texts("a\x00b\x07c\x7fd\u202ee\u2066f\u200bg\x85h\ufeff"), ["a␀b␇c␡d<U+202E>e<U+2066>f<U+200B>g<U+0085>h<U+FEFF>"]);
});

test("bytes that are no UTF-8 are replaced", () => {
  assert.deepEqual(read(new Uint8Array([0x61, 0xff, 0xe2, 0x82, 0x0a, 0x62])).map((line) => line.text), ["a\ufffd\ufffd", "b"]);
});

test("stderr is marked, and neither stream continues the other's characters or colours", () => {
  const lines = [];
  const reader = new Reader((line) => lines.push(line));
  reader.write(new Uint8Array([0xe2, 0x82]), 0, "1");
  reader.write(encoder.encode("\x1b[31mE"), 2, "2", true);
  reader.write(new Uint8Array([0xac, 0x78, 0x0a]), 8, "3");
  reader.write(encoder.encode("y\n"), 11, "4");
  assert.deepEqual(lines.map(({ text, err, time }) => [text, err, time]), [["E€x", true, "1"], ["y", false, "4"]]);
  assert.deepEqual(lines[0].runs, [{ ...style.PLAIN, fg: 1, flags: style.ERR }, 1, style.PLAIN, 2]);
});

test("groups: GitLab's sections and GitHub's markers", () => {
  const [head, body, next] = read(encoder.encode(
    "section_start:1560896352:build_it[collapsed=true]\r\x1b[0KBuilding\nx\nsection_end:1560896353:build_it\r\x1b[0Ksection_start:1:b\r\x1b[0KMore\n",
  ));
  assert.deepEqual([head.text, head.marks], ["Building", [{ start: true, name: "build_it", collapsed: true }]]);
  assert.deepEqual(body.marks, []);
  assert.deepEqual([next.text, next.marks.map(({ start, name }) => [start, name])], ["More", [[false, "build_it"], [true, "b"]]]);
  const [group, end] = read(encoder.encode("::group::Run tests\n::endgroup::\n"));
  assert.deepEqual([group.text, group.marks[0].start], ["Run tests", true]);
  assert.deepEqual([end.text, end.marks[0].start], ["", false]);
});

test("however bytes are cut into parts, the lines are the same", () => {
  const random = new Random(20261201);
  const hostile = [
    "a", "Z", "é", "€", "😀", " ", "\t", "\r", "\n", "\r\n", "\b", "\x00", "\x1b", "[", "]", "8;;https://a.b/\x07", "8;;\x1b\\", "31m", "\x1b[1;32m",
    "\x1b[0m", "\x1b[K", "\x1b[1K", "\x1b[2K", "\x1bP", "\x1b\\", "\x18", ";", ":", "38;5;", "m", "\x9b", "\u202e", "section_start:1:a\r\x1b[0K",
  ].map((each) => encoder.encode(each)).concat([[0xff], [0xc3], [0x82], [0xf0, 0x9f]].map((each) => new Uint8Array(each)));
  for (let count = 0; count < 2000; count += 1) {
    const parts = Array.from({ length: random.below(60) }, () => random.choice(hostile));
    const bytes = new Uint8Array(parts.flatMap((each) => [...each]));
    const whole = JSON.stringify(read(bytes));
    assert.equal(JSON.stringify(read(bytes, () => 1 + random.below(5))), whole, JSON.stringify(new TextDecoder().decode(bytes)));
  }
});

test("hostile output takes time by its length, and the memory of a line", () => {
  // Were any of these quadratic, it would take hours.
  const flood = (text, count) => new Uint8Array(Array.from({ length: count }, () => [...encoder.encode(text)]).flat());
  const repeated = (text, count) => encoder.encode(text.repeat(count));
  const full = repeated("a", MAX_CELLS - 100);
  const cases = [
    repeated("x", 10_000_000),
    encoder.encode(`\x1b]8;;${"x".repeat(2_000_000)}`),
    encoder.encode(`\x1bP${"x".repeat(2_000_000)}`),
    encoder.encode(`\x1b[${"1;".repeat(1_000_000)}`),
    repeated("\rX", 2_000_000),
    repeated("\x1b[2KX", 500_000),
    repeated("\x1b[2KX\x1b[1K", 200_000),
    repeated("\x1b[31mx\x1b[32my", 200_000),
    repeated("\x1b]8;;http://a.b/c\x07x\x1b]8;;\x07", 20_000),
    repeated("\t\b", 500_000),
    new Uint8Array([...full, ...flood("\rX\t\t\x1b[1K", 50_000)]),
  ];
  for (const bytes of cases) {
    const most = Math.max(...read(bytes, () => 65536).map((line) => line.text.length));
    assert.ok(most < 10 * MAX_CELLS, `${most}`);
  }
});
