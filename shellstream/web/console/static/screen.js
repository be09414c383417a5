// A terminal's screen: what a program that moves the cursor has drawn.
//
// It knows what full-screen programs use of a VT220 and of xterm: cursor movement,
// erasing, insertion, deletion, the scroll region, the alternate screen, tabs, and the
// styles of sgr.js. All else is left out. Time is linear in the bytes for a screen of a
// size, memory is that of the screen.

import { PLAIN, REVERSE, sgr } from "./sgr.js";
import { JOINED, width } from "./widths.js";

const MAX_PARAMS = 256;
/** The marks that a cell keeps at most. */
const MAX_MARKS = 8;
/** A cell has a character, and its marks; behind one of two cells stands an empty one. */
const BLANK = Object.freeze([" ", PLAIN]);
/** DEC's special graphics, from "`" on: the lines of boxes. */
const GRAPHICS = "◆▒␉␌␍␊°±␤␋┘┐┌└┼⎺⎻─⎼⎽├┤┴┬│≤≥π≠£·";

export class Screen {
  constructor(rows, columns) {
    this.rows = rows;
    this.columns = columns;
    this.decoder = new TextDecoder("utf-8", { ignoreBOM: true });
    this.state = "ground";
    this.#reset();
  }

  #reset() {
    this.style = PLAIN;
    this.graphics = false;
    this.origin = false;
    this.wrap = true;
    this.insert = false;
    this.cursor = true;
    this.params = "";
    [this.top, this.bottom] = [0, this.rows - 1];
    [this.row, this.column] = [0, 0];
    this.saved = null;
    this.other = null; // the main screen, while the alternate one is shown
    this.last = " ";
    this.lines = Array.from({ length: this.rows }, () => this.#blank());
  }

  #blank() {
    return Array(this.columns).fill(BLANK);
  }

  write(bytes) {
    for (const each of this.decoder.decode(bytes, { stream: true })) this.#take(each);
  }

  #take(character) {
    const code = character.codePointAt(0);
    if (code === 0x1b) {
      this.state = this.state === "string" ? "stringEscape" : "escape";
      this.params = "";
    } else if (code === 0x18 || code === 0x1a) {
      this.state = "ground";
    } else if (this.state === "string") {
      if (code === 0x07 || code === 0x9c) this.state = "ground";
    } else if (this.state === "stringEscape") {
      this.state = "ground";
      if (character !== "\\") this.#escape(character);
    } else if (code < 0x20 || code === 0x7f) {
      this.#control(code);
    } else if (this.state === "ground") {
      if (code === 0x9b) [this.state, this.params] = ["csi", ""];
      else if (code < 0x80 || code > 0x9f) this.#print(character);
    } else if (this.state === "escape") {
      this.#escape(character);
    } else if (this.state === "intermediate") {
      if (code >= 0x30) {
        if (this.params === "(") this.graphics = character === "0";
        this.state = "ground";
      }
    } else if (code >= 0x40 && code <= 0x7e) {
      this.state = "ground";
      if (this.params.length <= MAX_PARAMS) this.#sequence(this.params, character);
    } else if (this.params.length <= MAX_PARAMS) {
      this.params += character;
    }
  }

  #control(code) {
    if (code === 0x0d) this.column = 0;
    else if (code === 0x08) this.column = Math.max(Math.min(this.column, this.columns - 1) - 1, 0);
    else if (code === 0x09) this.column = Math.min((Math.floor(this.column / 8) + 1) * 8, this.columns - 1);
    else if (code >= 0x0a && code <= 0x0c) this.#index();
  }

  #print(character) {
    if (this.graphics && character >= "`" && character <= "~") character = GRAPHICS[character.charCodeAt(0) - 96];
    const cells = width(character);
    if (cells === 0) {
      this.#join(character);
      return;
    }
    if (this.column + cells > this.columns) {
      if (this.wrap) {
        this.column = 0;
        this.#index();
      } else {
        this.column = Math.max(this.columns - cells, 0);
      }
    }
    const line = this.lines[this.row];
    if (this.insert) {
      line.splice(this.column, 0, ...Array(cells).fill(BLANK));
      line.length = this.columns;
    }
    line[this.column] = [character, this.style];
    if (cells === 2 && this.columns > 1) line[this.column + 1] = ["", this.style];
    this.column += cells;
    this.last = character;
  }

  /** A mark is drawn over the character before. */
  #join(mark) {
    if (this.column === 0 || !JOINED.test(mark)) return;
    const line = this.lines[this.row];
    let at = Math.min(this.column, this.columns) - 1;
    if (line[at][0] === "" && at > 0) at -= 1;
    const [character, style] = line[at];
    if ([...character].length <= MAX_MARKS) line[at] = [character + mark, style];
  }

  #index() {
    if (this.row === this.bottom) this.#scroll(this.top, 1);
    else this.row = Math.min(this.row + 1, this.rows - 1);
  }

  #nextLine() {
    this.column = 0;
    this.#index();
  }

  #reverseIndex() {
    if (this.row === this.top) this.#scroll(this.top, -1);
    else this.row = Math.max(this.row - 1, 0);
  }

  /** Move the lines from one to the bottom of the region up, or down if negative. */
  #scroll(from, count) {
    const height = this.bottom - from + 1;
    const moved = Math.min(Math.abs(count), height);
    const made = Array.from({ length: moved }, () => this.#blank());
    const region = this.lines.slice(from, this.bottom + 1);
    const next = count > 0 ? [...region.slice(moved), ...made] : [...made, ...region.slice(0, height - moved)];
    this.lines.splice(from, height, ...next);
  }

  #escape(character) {
    this.state = "ground";
    if (character === "[") [this.state, this.params] = ["csi", ""];
    else if ("]PX^_".includes(character)) this.state = "string";
    else if (character >= " " && character < "0") [this.state, this.params] = ["intermediate", character];
    else if (character === "D") this.#index();
    else if (character === "E") this.#nextLine();
    else if (character === "M") this.#reverseIndex();
    else if (character === "7") this.#save();
    else if (character === "8") this.#restore();
    else if (character === "c") this.#reset();
  }

  #save() {
    const { row, column, style, graphics, origin } = this;
    this.saved = { row, column, style, graphics, origin };
  }

  #restore() {
    Object.assign(this, this.saved ?? { row: 0, column: 0, style: PLAIN, graphics: false, origin: false });
  }

  #sequence(params, final) {
    if (final === "m" && /^[\d:;]*$/.test(params)) {
      this.style = sgr(this.style, params);
      return;
    }
    const set = /^\?([\d;]*)$/.exec(params);
    if (set !== null && (final === "h" || final === "l")) {
      for (const each of set[1].split(";")) this.#mode(Number(each), final === "h");
      return;
    }
    if (!/^[\d;]*$/.test(params)) return;
    const given = params.split(";").map((each) => Math.min(Number(each), 9999));
    const count = given[0] || 1;
    const column = Math.min(this.column, this.columns - 1);
    const line = this.lines[this.row];
    switch (final) {
      case "A": this.#up(count); break;
      case "B": case "e": this.#down(count); break;
      case "C": case "a": this.column = Math.min(column + count, this.columns - 1); break;
      case "D": this.column = Math.max(column - count, 0); break;
      case "E": this.#down(count); this.column = 0; break;
      case "F": this.#up(count); this.column = 0; break;
      case "G": case "`": this.column = Math.min(count, this.columns) - 1; break;
      case "d": this.#to(count - 1, column); break;
      case "H": case "f": this.#to(count - 1, (given[1] || 1) - 1); break;
      case "J": this.#eraseScreen(given[0]); break;
      case "K": this.#erase(line, ...this.#span(given[0])); break;
      case "X": this.#erase(line, column, Math.min(column + count, this.columns)); break;
      case "@":
        line.splice(column, 0, ...Array(Math.min(count, this.columns)).fill(BLANK));
        line.length = this.columns;
        break;
      case "P":
        line.splice(column, count);
        while (line.length < this.columns) line.push(BLANK);
        break;
      case "L": this.#insertLines(count); break;
      case "M": this.#insertLines(-count); break;
      case "S": this.#scroll(this.top, count); break;
      case "T": this.#scroll(this.top, -count); break;
      case "b": for (let k = 0; k < Math.min(count, this.columns); k += 1) this.#print(this.last); break;
      case "h": case "l": if (given[0] === 4) this.insert = final === "h"; break;
      case "r": this.#region(count - 1, (given[1] || this.rows) - 1); break;
      case "s": this.#save(); break;
      case "u": this.#restore(); break;
    }
  }

  /** Insert lines above the cursor's, or delete from that on if negative. */
  #insertLines(count) {
    if (this.row < this.top || this.row > this.bottom) return;
    this.#scroll(this.row, -count);
    this.column = 0;
  }

  #up(count) {
    const limit = this.row >= this.top ? this.top : 0;
    this.row = Math.max(this.row - count, limit);
    this.column = Math.min(this.column, this.columns - 1);
  }

  #down(count) {
    const limit = this.row <= this.bottom ? this.bottom : this.rows - 1;
    this.row = Math.min(this.row + count, limit);
    this.column = Math.min(this.column, this.columns - 1);
  }

  #to(row, column) {
    const [first, last] = this.origin ? [this.top, this.bottom] : [0, this.rows - 1];
    this.row = Math.max(Math.min(first + row, last), first);
    this.column = Math.max(Math.min(column, this.columns - 1), 0);
  }

  #region(top, bottom) {
    bottom = Math.min(bottom, this.rows - 1);
    if (top >= bottom) return;
    [this.top, this.bottom] = [top, bottom];
    this.#to(0, 0);
  }

  #span(how) {
    const column = Math.min(this.column, this.columns - 1);
    return [[column, this.columns], [0, column + 1], [0, this.columns]][how] ?? [0, 0];
  }

  /** An erased cell keeps the colour behind it. */
  #erase(line, from, until) {
    const { bg } = this.style;
    line.fill(bg === null ? BLANK : [" ", { ...PLAIN, bg }], from, until);
  }

  #eraseScreen(how) {
    const [from, until] = [[this.row + 1, this.rows], [0, this.row], [0, this.rows]][how] ?? [0, 0];
    for (let row = from; row < until; row += 1) this.#erase(this.lines[row], 0, this.columns);
    if (how < 2) this.#erase(this.lines[this.row], ...this.#span(how));
  }

  #mode(mode, on) {
    if (mode === 6) {
      this.origin = on;
      this.#to(0, 0);
    } else if (mode === 7) {
      this.wrap = on;
    } else if (mode === 25) {
      this.cursor = on;
    } else if ((mode === 47 || mode === 1047 || mode === 1049) && on !== (this.other !== null)) {
      if (on) {
        if (mode === 1049) this.#save();
        this.other = this.lines;
        this.lines = Array.from({ length: this.rows }, () => this.#blank());
      } else {
        this.lines = this.other;
        this.other = null;
        if (mode === 1049) this.#restore();
      }
    }
  }

  /**
   * The rows as lines: text, and runs of a style and a length by turns. Half of a
   * character is none. The cursor is in reverse.
   */
  get shown() {
    const cursor = Math.min(this.column, this.columns - 1);
    return this.lines.map((cells, row) => {
      let text = "";
      const runs = [];
      let half = false; // whether the second half of a character follows
      for (const [column, [held, given]] of cells.entries()) {
        const is = this.cursor && row === this.row && column === cursor;
        const style = is ? { ...given, flags: given.flags ^ REVERSE } : given;
        const wide = held !== "" && width([...held][0]) === 2;
        const cut = wide ? cells[column + 1]?.[0] !== "" : held === "" && !half;
        half = wide && !cut;
        const character = cut ? " " : held;
        text += character;
        if (runs.at(-2) === style) runs[runs.length - 1] += character.length;
        else runs.push(style, character.length);
      }
      return { text, runs };
    });
  }
}
