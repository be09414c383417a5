// Shows a run on a terminal: its screen, as it changes. Nothing is typed here.

import { Problem } from "./api.js";
import { make } from "./dom.js";
import { Screen } from "./screen.js";
import { output } from "./stream.js";
import { append } from "./view.js";
import { WIDE } from "./widths.js";

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
    this.element.replaceChildren(...this.screen.shown.map((line) => {
      const element = make("div", { className: "line" });
      append(element, line);
      align(element);
      return element;
    }));
  }
}

/** Give each character of two cells their width, which its font may not have. */
function align(element) {
  const nodes = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  const found = [];
  while (nodes.nextNode()) if (WIDE.test(nodes.currentNode.data)) found.push(nodes.currentNode);
  for (const node of found) {
    node.replaceWith(...Array.from(node.data, (each) => WIDE.test(each) ? make("span", { className: "wide" }, each) : each));
  }
}
