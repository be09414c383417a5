// The output of the run on the page: what of it is read, and when.

import { Problem, request } from "./api.js";
import { Log } from "./log.js";
import { output } from "./stream.js";
import { View } from "./view.js";

/** An output of at most so many bytes is shown from its beginning. */
const SHORT = 1 << 19;
/** How much is read at once, back from where the window begins, and before a line. */
const BACK = 1 << 17, BEFORE = 1 << 15;
/** How much may be taken between two frames: bytes at the end, lines elsewhere. */
const A_FRAME = 1 << 18, BEYOND = 4000;

export class Output {
  /**
   * @param {HTMLElement} element shows it
   * @param {string} path of the output, from the root
   * @param {{connected(is: boolean): void, ended(end: object): void, moved(): void, failed(problem: Error): void}} hooks
   */
  constructor(element, path, hooks) {
    this.path = path;
    this.hooks = hooks;
    this.log = new Log();
    this.view = new View(element, this.log, () => this.#moved());
    this.start = 0; // the oldest byte that is kept
    this.atEnd = false; // whether the end record came
    this.stop = new AbortController();
    this.reading = false; // back, or to a line
    this.wanted = 0; // to read up to here at once
    this.resume = () => {};
    this.arrived = () => {};
  }

  /** Open at the end, or at the beginning if that is near enough. */
  open({ start, size }) {
    this.start = start;
    this.#restart(size - start > SHORT ? size - BACK : start);
  }

  /** Show the end, and follow it. */
  async toEnd() {
    if (!this.atEnd) {
      const run = await (await request(this.path.replace(/\/output$/, ""))).json();
      if (this.detached || run.size - this.log.end > BACK) this.open(run);
    }
    this.view.follow(true);
  }

  /** Whether all of the output is read, and its end is on the screen. */
  get isAtEnd() {
    return this.atEnd && this.view.isAtEnd;
  }

  async toStart() {
    if (this.log.from > this.start) this.#restart(this.start);
    this.view.following = false;
    this.view.element.scrollTop = 0;
  }

  /** Show the line at an offset; resolves with it, or with null if it is gone. */
  async jump(offset) {
    this.view.following = false;
    if (offset < this.log.from || offset >= this.log.end) {
      this.reading = true; // not back from here, before the line is shown
      this.#restart(offset - BEFORE);
      this.wanted = offset + 1;
      while (this.log.end < this.wanted && !this.atEnd && !this.detached) {
        await new Promise((resolve) => {
          this.arrived = resolve;
        });
      }
      await this.view.settled();
      this.reading = false;
    }
    const line = this.log.find(offset);
    if (line !== null) this.view.show(line);
    return line;
  }

  /**
   * Show the line of a number; resolves with it, or with null if there is none. One that
   * is not on the page is found by counting.
   *
   * @param {(part: number) => void} counted told how much of the output was looked at
   */
  async jumpTo(number, counted) {
    const here = this.log.numbered(number);
    if (here !== null) {
      this.view.show(here);
      return here;
    }
    const { offsetOf } = await import("./find.js");
    const offset = await offsetOf(this.path, number, counted);
    const line = offset === null ? null : await this.jump(offset);
    if (line === null) return null;
    this.log.locate(line, number);
    this.view.changed();
    return line;
  }

  /** Show what was sent to the command; null if the end of the output is not here. */
  echo(text) {
    if (this.detached || !this.#wanted()) return null;
    this.view.changed();
    return this.log.echo(text);
  }

  /** It was not sent after all. */
  retract(line) {
    if (line === null) return;
    this.view.elementOf(line)?.remove();
    this.log.retract(line);
  }

  /** Whether what follows the window is not being read. */
  get detached() {
    return this.stop.signal.aborted;
  }

  /** Read nothing more until L{attach}: nobody looks. */
  detach() {
    this.stop.abort();
    this.atEnd = false;
    this.resume();
    this.arrived();
  }

  /** Read on after the window. */
  attach() {
    if (this.detached && !this.atEnd) this.#read(this.log.end);
  }

  #restart(offset) {
    this.detach();
    this.wanted = 0;
    this.#begin(this.log, offset);
    this.view.changed();
    this.#read(this.log.end);
  }

  /** Begin a log here: at the first line that is kept in full, or with the gap before it. */
  #begin(log, offset) {
    const within = offset > this.start;
    log.begin(within ? offset : 0, within);
  }

  async #read(offset) {
    const stop = new AbortController();
    this.stop = stop;
    this.atEnd = false;
    const { signal } = stop;
    try {
      let taken = 0, lines = this.log.lines;
      for await (const records of output(this.path, offset, { signal, connected: this.hooks.connected })) {
        for (const record of records) {
          if (signal.aborted) return;
          if (record.type === "end") this.#end(record);
          else this.log.take(record);
          taken += record.bytes?.length ?? 0;
          const enough = this.view.following ? taken > A_FRAME : this.log.lines - lines > BEYOND;
          if (enough || record === records.at(-1)) {
            this.view.changed();
            this.arrived();
            await this.#turn(enough, signal);
            if (enough) [taken, lines] = [0, this.log.lines];
          }
        }
      }
    } catch (error) {
      this.detach();
      if (!(error instanceof Problem)) throw error;
      this.hooks.failed(error);
    }
  }

  /** Let the page be drawn, if there is much to draw, and wait until more is wanted. */
  async #turn(much, signal) {
    if (much && !document.hidden) await new Promise(requestAnimationFrame);
    // How near the end is shows only when all of it is on the page.
    if (!this.view.following) await this.view.settled();
    while (!this.#wanted() && !signal.aborted) {
      await new Promise((resolve) => {
        this.resume = resolve;
      });
    }
  }

  /** Whether to read on: the reader follows the end, or is near it. */
  #wanted() {
    return this.view.following || this.log.end < this.wanted || this.view.near(3).end;
  }

  #end(record) {
    this.atEnd = true;
    this.log.reader.end();
    this.arrived();
    this.hooks.ended(record);
  }

  #moved() {
    const { start, end } = this.view.near(2);
    if (this.#wanted()) this.resume();
    if (end && this.detached && !document.hidden) this.attach();
    if (start && !this.view.following) this.#back();
    this.hooks.moved();
  }

  /** Read what comes before the window. */
  async #back() {
    const until = this.log.from;
    if (this.reading || until <= this.start || this.log.skipped !== null) return;
    this.reading = true;
    const { log } = this;
    const earlier = new Log();
    this.#begin(earlier, until - BACK);
    const stop = new AbortController();
    try {
      for await (const records of output(this.path, earlier.end, { signal: stop.signal, follow: false })) {
        for (const record of records) {
          if (record.type === "end" || record.offset >= until) continue;
          if (record.bytes) record.bytes = record.bytes.subarray(0, until - record.offset);
          else this.start = record.end;
          earlier.take(record);
        }
        if (records.at(-1).offset >= until || earlier.end >= until) break;
      }
      // Meanwhile the reader may have gone elsewhere.
      if (log.from === until && log.prepend(earlier)) this.detach();
      this.view.changed();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.hooks.failed(error);
    } finally {
      stop.abort();
      this.reading = false;
    }
  }
}
