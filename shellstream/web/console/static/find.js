// Search in the whole output of a run, whether or not the page holds it.

import { request } from "./api.js";
import { Scanner } from "./scanner.js";
import { parse } from "./stream.js";

/** The most matches that are remembered. */
const MOST = 10_000;
/** How long the page may be busy with a search at a time, in milliseconds. */
const SLICE = 12;

/** The offset of the first record of an answer in NDJSON; null if there is none. */
export async function firstOutput(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return null;
      text += value;
      const lines = text.split("\n");
      text = lines.pop();
      const found = lines.map(parse).find((each) => each.bytes);
      if (found) return found.offset;
    }
  } finally {
    reader.cancel();
  }
}

/** The pieces of an answer; the page is drawn between them now and then. */
async function* pieces(body, signal) {
  const reader = body.getReader();
  let turn = performance.now();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done || signal?.aborted) return;
      yield value;
      if (performance.now() - turn > SLICE) {
        await new Promise((resolve) => setTimeout(resolve));
        turn = performance.now();
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** The offset of the line of a number; null if there are not so many lines. */
export async function offsetOf(path, number, counted) {
  if (number <= 1) return 0;
  const { body, headers } = await request(`${path}?follow=false`, { headers: { Accept: "text/plain" } });
  const size = Number(headers.get("Content-Length"));
  let left = number - 1, offset = 0;
  for await (const bytes of pieces(body)) {
    for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, at + 1)) {
      left -= 1;
      if (left === 0) return offset + at + 1 < size ? offset + at + 1 : null;
    }
    offset += bytes.length;
    counted(offset / size);
  }
  return null;
}

/** The matches of what the field says, and the one that is shown. */
export class Search {
  /**
   * @param {object} output the Output of the page
   * @param {() => object} run as it stands
   */
  constructor(output, run, { field, count, mark }) {
    Object.assign(this, { output, run, field, count, mark });
    this.clear();
  }

  /** Forget the matches, and end the search. */
  clear() {
    this.stop?.abort();
    this.stop = null;
    this.needle = "";
    this.matches = [];
    this.at = -1;
    this.scanned = null; // so far
    this.done = 0;
    this.count.textContent = "";
    globalThis.CSS?.highlights?.delete("find");
  }

  /** Show the next match (1) or the one before (-1). */
  async go(step) {
    const needle = this.field.value.toLowerCase();
    if (needle === "") return;
    if (needle !== this.needle) {
      this.clear();
      this.needle = needle;
      // From the screen on; one who follows the end begins at the first.
      this.from = this.output.view.following ? 0 : this.output.view.first?.offset ?? 0;
      await this.#scan(step);
      return;
    }
    if (this.stop === null && step > 0 && this.at === this.matches.length - 1) await this.#scan(0);
    if (this.matches.length === 0) return;
    await this.#show((this.at + step + this.matches.length) % this.matches.length);
  }

  /** Look through what was not looked through yet. */
  async #scan(step) {
    const stop = new AbortController();
    this.stop = stop;
    const { start, size } = await (await request(this.output.path.replace(/\/output$/, ""))).json();
    const begin = Math.max(this.scanned ?? start, start);
    const scanner = new Scanner(this.needle, begin, (offset) => this.matches.length < MOST && this.matches.push(offset));
    try {
      const url = `${this.output.path}?offset=${begin}&follow=false`;
      const { body } = await request(url, { headers: { Accept: "text/plain" }, signal: stop.signal });
      let shown = step === 0;
      for await (const bytes of pieces(body, stop.signal)) {
        scanner.write(bytes);
        this.done = (scanner.offset - start) / Math.max(size - start, 1);
        if (!shown && step > 0 && this.matches.at(-1) >= this.from) {
          shown = true;
          await this.#show(this.matches.findIndex((each) => each >= this.from));
        }
        this.#tell();
        if (this.matches.length >= MOST) break;
      }
      if (stop.signal.aborted) return;
      scanner.end();
      this.scanned = scanner.offset;
      this.stop = null;
      if (!shown && this.matches.length > 0) {
        const first = this.matches.findIndex((each) => each >= this.from);
        const before = first < 0 ? this.matches.length - 1 : Math.max(first - 1, 0);
        await this.#show(step > 0 ? Math.max(first, 0) : before);
      }
      this.#tell();
    } catch (error) {
      if (!stop.signal.aborted) throw error;
    }
  }

  #tell() {
    const found = this.matches.length;
    const all = `${found.toLocaleString()}${found >= MOST ? "+" : ""}`;
    const part = this.stop === null ? "" : ` · ${Math.floor(100 * this.done)} %`;
    const words = found === 0 ? (this.stop === null ? "not found" : "searching") : `${(this.at + 1).toLocaleString()} of ${all}`;
    this.count.textContent = words + part;
  }

  async #show(at) {
    this.at = at;
    this.#tell();
    const line = await this.output.jump(this.matches[at]);
    if (line === null) return;
    this.mark(line);
    this.#highlight(this.output.view.elementOf(line));
  }

  /** Mark the words in a line, where the browser can. */
  #highlight(element) {
    if (!globalThis.CSS?.highlights || !element) return;
    const nodes = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
    const places = [];
    let text = "";
    while (nodes.nextNode()) {
      places.push([text.length, nodes.currentNode]);
      text += nodes.currentNode.data;
    }
    text = text.toLowerCase();
    const place = (position) => {
      const [begin, node] = places.findLast(([from]) => from <= position);
      return [node, Math.min(position - begin, node.data.length)];
    };
    const highlight = new Highlight();
    for (let at = text.indexOf(this.needle); at >= 0; at = text.indexOf(this.needle, at + this.needle.length)) {
      const range = new Range();
      range.setStart(...place(at));
      range.setEnd(...place(at + this.needle.length));
      highlight.add(range);
    }
    CSS.highlights.set("find", highlight);
  }
}
