// Reads outputs, base64 a line, and writes the cells of their lines, JSON a line.

import { createInterface } from "node:readline";

import { Reader } from "../../../shellstream/web/console/static/reader.js";

for await (const given of createInterface({ input: process.stdin })) {
  const lines = [];
  const reader = new Reader(({ text, runs }) => {
    const cells = [];
    let at = 0;
    for (let run = 0; run < runs.length; run += 2) {
      const { fg, bg, flags } = runs[run];
      for (const each of text.slice(at, at += runs[run + 1])) {
        if (each !== "\t") cells.push([each, fg, bg, flags]);
        else do cells.push([" ", null, null, 0]); while (cells.length % 8 > 0);
      }
    }
    lines.push(cells);
  });
  reader.write(Buffer.from(given, "base64"), 0, null);
  reader.end();
  process.stdout.write(`${JSON.stringify(lines)}\n`);
}
