// The part of a run's output that the page holds: a window of lines, in blocks.
//
// The window grows at its end as output comes, and at its beginning as the reader scrolls
// back. What is far from where it grows is dropped, so memory is bounded: all of it can
// be read again by its offset.

import { Reader } from "./reader.js";

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
    this.reader = this.#reader();
  }

  #reader() {
    return new Reader((line) => this.#add(line));
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
      this.#add({ offset: record.offset, gap: record.end - record.offset, text: "", marks: [] });
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
    this.blocks.unshift(...earlier.blocks);
    this.from = earlier.from;
    // Whether something was dropped, so that what follows must be read again.
    const kept = this.blocks.length;
    this.#trim(-1);
    return this.blocks.length < kept;
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
      } else {
        const last = this.blocks.at(-1).lines.at(-1);
        this.end = dropped.offset;
        this.group = last.head ?? last.group;
        this.reader = this.#reader();
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
