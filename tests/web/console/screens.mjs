// Reads outputs, base64 a line, and writes the cells of a terminal's screen, JSON a line.

import { createInterface } from "node:readline";

import { Screen } from "../../../shellstream/web/console/static/screen.js";

const [rows, columns] = process.argv.slice(2).map(Number);
for await (const given of createInterface({ input: process.stdin })) {
  const screen = new Screen(rows, columns);
  screen.write(Buffer.from(given, "base64"));
  const lines = screen.shown.map(({ text, runs }) => {
    const cells = [];
    let at = 0;
    for (let run = 0; run < runs.length; run += 2) {
      const { fg, bg, flags } = runs[run];
      for (const each of text.slice(at, at += runs[run + 1])) cells.push([each, fg, bg, flags]);
    }
    return cells;
  });
  process.stdout.write(`${JSON.stringify({ lines, cursor: [screen.row, Math.min(screen.column, columns - 1)] })}\n`);
}
