// Reads texts, base64 a line, and writes how many cells each character takes.

import { createInterface } from "node:readline";

import { width } from "../../../shellstream/web/console/static/widths.js";

for await (const given of createInterface({ input: process.stdin })) {
  const text = Buffer.from(given, "base64").toString();
  process.stdout.write(`${JSON.stringify(Array.from(text, width))}\n`);
}
