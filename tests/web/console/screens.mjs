// Reads outputs, base64 a line, and writes the cells of a terminal's screen, JSON a line.

import { createInterface } from "node:readline";

import { Screen } from "../../../shellstream/web/console/static/screen.js";

const [rows, columns] = process.argv.slice(2).map(Number);
for await (const given of createInterface({ input: process.stdin })) {
  const screen = new Screen(rows, columns);
  screen.write(Buffer.from(given, "base64"));
  const lines = screen.lines.map((cells) => cells.map(([each, { fg, bg, flags }]) => [each.normalize(), fg, bg, flags]));
  process.stdout.write(`${JSON.stringify({ lines, cursor: [screen.row, Math.min(screen.column, columns - 1)] })}\n`);
}
