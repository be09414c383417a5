// Finds the lines of an output that have a text, as the page shows them.

import { Reader } from "./reader.js";

/** What makes a line read otherwise than its characters: sequences, and going back. */
const REDRAWN = /[\x08\x1b\x80-\x9f]|\r(?!\n)/;
/** A longer line is looked at in parts of this size, in bytes. */
const MAX_LINE = 1 << 16;

export class Scanner {
  /**
   * @param {string} needle in lower case
   * @param {number} offset of the first byte
   * @param {(offset: number) => void} hit gets the offset of each row that has it
   */
  constructor(needle, offset, hit) {
    this.needle = needle;
    this.offset = offset;
    this.hit = hit;
    this.rest = [];
    this.length = 0;
    this.decoder = new TextDecoder();
  }

  write(bytes) {
    const newline = bytes.lastIndexOf(10);
    if (newline >= 0) {
      this.#look(bytes.subarray(0, newline + 1));
      bytes = bytes.subarray(newline + 1);
    }
    this.rest.push(bytes.slice());
    this.length += bytes.length;
    if (this.length > MAX_LINE) this.#look(new Uint8Array(0));
  }

  /** There is no more. */
  end() {
    this.#look(new Uint8Array(0));
  }

  /** Look through what is left, and these bytes. */
  #look(bytes) {
    const all = new Uint8Array(this.length + bytes.length);
    let at = 0;
    for (const each of [...this.rest, bytes]) {
      all.set(each, at);
      at += each.length;
    }
    this.rest = [];
    this.length = 0;
    const text = this.decoder.decode(all).toLowerCase();
    if (text.includes(this.needle) || REDRAWN.test(text)) {
      const reader = new Reader((line) => {
        if (line.text.toLowerCase().includes(this.needle)) this.hit(line.offset);
      });
      reader.write(all, this.offset, null);
      reader.end();
    }
    this.offset += all.length;
  }
}
