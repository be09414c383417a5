// The part of a run's output that the page holds: a window of lines, in blocks.
//
// The window grows at its end as output comes, and at its beginning as the reader scrolls
// back. What is far from where it grows is dropped, so memory is bounded: all of it can
// be read again by its offset.

import { Reader } from "./reader.js";
import { PLAIN } from "./sgr.js";

/** The most lines and characters of a block. */
const BLOCK_LINES = 1000, BLOCK_SIZE = 1 << 18;
/** How much the window holds at most. */
export const MAX_LINES = 20_000, MAX_SIZE = 1 << 22;
/** How far to look for the beginning of a line before its middle is shown, in bytes. */
const MAX_SKIP = 1 << 16;
const MAX_DEPTH = 16;

/** Lines that are shown, kept and dropped together, oldest first. */
class Block {
  constructor() {
    this.lines = [];
    this.size = 0;
    this.closed = false; // by one that was put after it
  }

  get offset() {
    return this.lines[0].offset;
  }

  get full() {
    return this.closed || this.lines.length >= BLOCK_LINES || this.size >= BLOCK_SIZE;
  }
}

export class Log {
  constructor() {
    this.lines = 0; // that were ever added
    this.begin(0);
  }

  /**
   * Begin again, empty, before the byte at `offset`.
   *
   * @param {boolean} within whether a line may have begun before; its rest is left out.
   */
  begin(offset, within = false) {
    this.blocks = [];
    this.from = offset;
    this.end = offset;
    this.skipped = within ? 0 : null;
    this.group = null;
    this.place = 0; // of the line at `from`
    this.origin = !within && offset === 0 ? 1 : null; // the number of the line at place 0
    this.reader = this.#reader(0);
  }

  #reader(place) {
    return new Reader((line) => this.#add(line), place);
  }

  /** The number of a line, from 1 on; null if it is not known. */
  numberOf(line) {
    return this.origin === null || Number.isNaN(line.place) ? null : this.origin + line.place;
  }

  /** The line of a number; null if it is not here, as far as that is known. */
  numbered(number) {
    const place = this.origin === null ? NaN : number - this.origin;
    if (!(place >= this.place && place < this.reader.place)) return null;
    const block = this.blocks.findLast((each) => each.lines[0].place <= place);
    // One that is only a marker is not shown: then the next one is.
    return block?.lines.find((each) => each.place >= place) ?? null;
  }

  /** Count on and back from a line whose number is known. */
  locate(line, number) {
    if (!Number.isNaN(line.place)) this.origin = number - line.place;
  }

  /** The line that has no end yet, as it stands; null if there is none. */
  get current() {
    const line = this.reader.current;
    if (line !== null) line.group = this.group;
    return line;
  }

  /** Take a record of output, or of a gap, that begins at `end`. */
  take(record) {
    if (record.type === "gap") {
      this.skipped = null;
      this.reader.end();
      this.reader.place = NaN; // nobody knows how many lines are missing
      this.#add({ offset: record.offset, place: NaN, gap: record.end - record.offset, text: "", marks: [] });
      this.end = record.end;
      return;
    }
    let { bytes } = record;
    const end = record.offset + bytes.length;
    if (this.skipped !== null) {
      const newline = bytes.subarray(0, MAX_SKIP - this.skipped).indexOf(10);
      this.skipped += bytes.length;
      if (newline < 0 && this.skipped < MAX_SKIP) {
        bytes = bytes.subarray(bytes.length);
      } else {
        bytes = bytes.subarray(newline + 1);
        this.skipped = null;
      }
      this.from = end - bytes.length;
    }
    this.reader.write(bytes, end - bytes.length, record.time, record.err);
    this.end = end;
    this.#trim(0);
  }

  /** Put what comes before in front: another log, which ends where this one begins. */
  prepend(earlier) {
    earlier.reader.end();
    const last = earlier.blocks.at(-1);
    if (last) last.closed = true;
    const shift = this.place - earlier.reader.place;
    for (const block of earlier.blocks) {
      for (const line of block.lines) line.place += shift;
    }
    this.blocks.unshift(...earlier.blocks);
    this.from = earlier.from;
    this.place = earlier.place + shift;
    if (earlier.origin !== null && !Number.isNaN(shift)) this.origin = earlier.origin - shift;
    // Whether something was dropped, so that what follows must be read again.
    const kept = this.blocks.length;
    this.#trim(-1);
    return this.blocks.length < kept;
  }

  /** A line of what was sent to the command, behind what it has written so far. */
  echo(text) {
    this.reader.end();
    const line = { offset: this.end, place: this.reader.place, text, runs: [PLAIN, text.length], sent: true, marks: [] };
    this.#add(line);
    return line;
  }

  /** Take a line of L{echo} back. */
  retract(line) {
    const block = this.blocks.find((each) => each.lines.includes(line));
    block?.lines.splice(block.lines.indexOf(line), 1);
    this.blocks = this.blocks.filter((each) => each.lines.length > 0);
  }

  /** The line that holds a byte, or the last one before it; null if it is not here. */
  find(offset) {
    if (offset < this.from || offset >= this.end) return null;
    const block = this.blocks.findLast((each) => each.offset <= offset);
    return block?.lines.findLast((each) => each.offset <= offset) ?? null;
  }

  #add(line) {
    this.#groups(line);
    if (line.text === "" && line.marks.length > 0 && !line.head) return;
    let block = this.blocks.at(-1);
    if (block === undefined || block.full) {
      block = new Block();
      this.blocks.push(block);
    }
    block.lines.push(line);
    this.lines += 1;
    block.size += line.text.length;
  }

  /** Give a line its group: the innermost that is open. A head is not part of its own. */
  #groups(line) {
    line.group = this.group;
    for (const { start, name, collapsed } of line.marks) {
      if (start) {
        const depth = (this.group?.depth ?? 0) + 1;
        if (depth > MAX_DEPTH) continue;
        line.head = { parent: this.group, depth, name, folded: collapsed };
        this.group = line.head;
        continue;
      }
      let open = this.group;
      while (open !== null && open.name !== name) open = open.parent;
      if (open !== null) this.group = open.parent;
      line.group = this.group;
    }
    if (line.head) line.group = line.head.parent;
  }

  /** Drop blocks at the beginning (0) or at the end (-1) until the rest is small. */
  #trim(side) {
    let lines = 0, size = 0;
    for (const block of this.blocks) {
      lines += block.lines.length;
      size += block.size;
    }
    while (this.blocks.length > 2 && (lines > MAX_LINES || size > MAX_SIZE)) {
      const dropped = side === 0 ? this.blocks.shift() : this.blocks.pop();
      lines -= dropped.lines.length;
      size -= dropped.size;
      if (side === 0) {
        this.from = this.blocks[0].offset;
        this.place = this.blocks[0].lines[0].place;
      } else {
        const last = this.blocks.at(-1).lines.at(-1);
        this.end = dropped.offset;
        this.group = last.head ?? last.group;
        this.reader = this.#reader(dropped.lines[0].place);
      }
    }
  }
}

/** Whether a line is hidden, as a group that it is in is folded. */
export function hidden(line) {
  for (let group = line.group; group !== null; group = group.parent) {
    if (group.folded) return true;
  }
  return false;
}
