// Shows a run on a terminal: its screen, as it changes. Nothing is typed here.

import { Problem } from "./api.js";
import { make } from "./dom.js";
import { Screen } from "./screen.js";
import { REVERSE } from "./sgr.js";
import { output } from "./stream.js";
import { append } from "./view.js";

/** How far back to begin, in bytes: a program draws its whole screen now and then. */
const REPLAY = 1 << 22;
/** How much may be taken between two frames, in bytes. */
const A_FRAME = 1 << 17;

export class Terminal {
  /** @param {object} hooks as of Output */
  constructor(path, hooks) {
    this.path = path;
    this.hooks = hooks;
    this.element = make("div", { className: "log terminal", tabIndex: 0, role: "region", "aria-label": "Screen" });
    this.stop = new AbortController();
    this.frame = 0;
  }

  /** Show the screen of a run, from now on; again if its size has changed. */
  show({ tty: { rows, columns }, start, size }) {
    if (!this.stop.signal.aborted && this.screen?.rows === rows && this.screen?.columns === columns) return;
    this.close();
    this.stop = new AbortController();
    this.screen = new Screen(rows, columns);
    this.#read(Math.max(start, size - REPLAY), this.stop.signal);
  }

  close() {
    this.stop.abort();
  }

  async #read(offset, signal) {
    const { screen } = this;
    const { connected } = this.hooks;
    let taken = 0;
    try {
      for await (const records of output(this.path, offset, { signal, connected })) {
        for (const record of records) {
          if (signal.aborted) return;
          if (record.bytes) screen.write(record.bytes);
          if (record.type === "end") this.hooks.ended(record);
          taken += record.bytes?.length ?? 0;
          if (taken > A_FRAME && !document.hidden) {
            taken = 0;
            await new Promise(requestAnimationFrame);
          }
        }
        this.frame ||= requestAnimationFrame(() => this.#paint());
      }
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.hooks.failed(error);
    }
  }

  #paint() {
    this.frame = 0;
    const { row, column, cursor, shown } = this.screen;
    this.element.replaceChildren(...shown.map((line, at) => {
      const element = make("div", { className: "line" });
      append(element, cursor && at === row ? marked(line, column) : line);
      return element;
    }));
  }
}

/** A line with the cell of the cursor in reverse. */
function marked({ text, runs }, column) {
  const found = [];
  let at = 0;
  for (let run = 0; run < runs.length; run += 2) {
    const style = runs[run];
    const cells = [...text.slice(at, at += runs[run + 1])];
    const before = found.reduce((all, [, part]) => all + part.length, 0);
    const here = column - before;
    if (here < 0 || here >= cells.length) {
      found.push([style, cells]);
    } else {
      found.push([style, cells.slice(0, here)], [{ ...style, flags: style.flags ^ REVERSE }, [cells[here]]], [style, cells.slice(here + 1)]);
    }
  }
  const parts = found.filter(([, cells]) => cells.length > 0);
  return { text, runs: parts.flatMap(([style, cells]) => [style, cells.join("").length]) };
}
