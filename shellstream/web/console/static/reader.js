// Output as lines of styled text: what a terminal's line would show of it.
//
// The reader takes bytes and makes lines. It keeps colours and attributes, lets \r, \b
// and "erase line" redraw the line in place, writes the address of a link after its
// text, and removes all other escape sequences. It shows control characters, and those
// that would reorder or hide text. No sequence passes the end of its line: so reading
// may begin at any line, and an unfinished sequence hides no other. Time is linear in
// the bytes, memory is that of one line.

import { ERR, PLAIN, same, sgr } from "./sgr.js";

/** A row has at most about so many cells; a longer line continues on the next row. */
export const MAX_CELLS = 16384;
/** So many bytes are read before a look at the length of the row. */
const STEP = 8192;
/** So much is kept of a sequence's parameters, and of a link's address. */
const MAX_PARAMS = 256, MAX_LINK = 2048;
const TAB = 8;
const BLANK = [" ", PLAIN];

const SPECIAL = /[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;
/** What can end a string: BEL, CAN, SUB, ESC and ST. */
const STRING_END = /[\x07\x18\x1a\x1b\x9c]/g;

const GROUND = 0, ESC = 1, NF = 2, CSI = 3, OSC = 4, STRING = 5;
/** What begins a string that is removed: DCS, SOS, PM, APC. */
const STRINGS = "PX^_";

const SECTION = /^section_(start|end):\d{1,20}:([\w.-]{1,256})(\[[^\]]{0,256}\])?$/;
const GROUP = /^(?:##\[|::)(group|endgroup)(?:\]|::)(.*)$/s;

/**
 * One row of the log.
 *
 * `offset` is that of its first byte, `time` when that came, `place` how many line ends
 * were read before, `err` whether any of it is stderr's, `cut` whether the line goes on
 * in the next row. `runs` has a style and a length by turns. `marks` are the groups that
 * begin and end here.
 */
class Line {
  constructor(offset, time, place) {
    this.offset = offset;
    this.time = time;
    this.place = place;
    this.text = "";
    this.runs = [];
    this.err = false;
    this.cut = false;
    this.marks = [];
    this.column = 0;
    this.cells = null; // of a line that is written over: [character, style], or nothing
    this.blank = 0; // so many of them have nothing, from the left
  }

  get length() {
    return this.cells === null ? this.text.length : this.cells.length;
  }

  put(text, style) {
    if (style.flags & ERR) this.err = true;
    if (this.cells === null && this.column === this.text.length) {
      this.text += text;
      this.column += text.length;
      const { runs } = this;
      if (runs.length > 0 && same(runs[runs.length - 2], style)) {
        runs[runs.length - 1] += text.length;
      } else {
        runs.push(style, text.length);
      }
      return;
    }
    const cells = this.toCells();
    this.blank = Math.min(this.blank, this.column);
    for (const character of text) cells[this.column++] = [character, style];
  }

  tab(style) {
    if (this.cells === null && this.column === this.text.length) {
      this.put("\t", style);
    } else {
      this.toCells();
      this.column = Math.min(this.column + TAB - (this.column % TAB), 2 * MAX_CELLS);
    }
  }

  back() {
    this.toCells();
    this.column = Math.max(this.column - 1, 0);
  }

  /** CR: what is a mark so far is none of the text. */
  home() {
    this.column = 0;
    if (this.text.startsWith("section_") && this.cells === null) {
      const found = SECTION.exec(this.text);
      if (found !== null) {
        const [, kind, name, options] = found;
        const collapsed = /\bcollapsed=true\b/.test(options ?? "");
        this.marks.push({ start: kind === "start", name, collapsed });
        this.clear();
      }
    }
  }

  clear() {
    this.text = "";
    this.runs = [];
    this.cells = null;
    this.blank = 0;
  }

  /** EL: 0 from the cursor on, 1 up to it, 2 all. */
  erase(how) {
    if (how === 1) {
      const cells = this.toCells();
      const until = Math.min(this.column + 1, cells.length);
      for (let at = this.blank; at < until; at += 1) delete cells[at];
      this.blank = Math.max(this.blank, until);
    } else if (this.column === 0) {
      this.clear();
    } else if (this.column < this.length || how === 2) {
      const cells = this.toCells();
      cells.length = how === 2 ? 0 : this.column;
      if (how === 2) this.blank = Infinity;
    }
  }

  toCells() {
    if (this.cells === null) {
      const cells = [], { runs, text } = this;
      const atEnd = this.column === text.length;
      let at = 0;
      for (let run = 0; run < runs.length; run += 2) {
        for (const each of text.slice(at, at + runs[run + 1])) {
          const wide = each === "\t" ? TAB - (cells.length % TAB) : 1;
          for (let k = 0; k < wide; k += 1) cells.push([each === "\t" ? " " : each, runs[run]]);
        }
        at += runs[run + 1];
      }
      if (atEnd) this.column = cells.length;
      this.cells = cells;
      this.text = "";
      this.runs = [];
    }
    return this.cells;
  }

  /** The same line, as it stands, without cells. */
  finished() {
    const line = new Line(this.offset, this.time, this.place);
    line.marks = this.marks.slice();
    if (this.cells === null) {
      line.text = this.text;
      line.runs = this.runs.slice();
      line.column = line.text.length;
    } else {
      for (const cell of this.cells) line.put(...(cell ?? BLANK));
    }
    line.err = this.err;
    const found = GROUP.exec(line.text);
    if (found !== null) {
      line.marks.push({ start: found[1] === "group", name: null, collapsed: false });
      line.text = found[2];
      line.runs = found[2] === "" ? [] : [PLAIN, found[2].length];
    }
    return line;
  }
}

/** What is known of stdout, or of stderr, between two pieces of it. */
class Stream {
  constructor(flags) {
    this.plain = { ...PLAIN, flags };
    this.style = this.plain;
    this.decoder = new TextDecoder("utf-8", { ignoreBOM: true });
    this.state = GROUND;
    this.params = "";
  }
}

export class Reader {
  /** `take` gets each line that is complete; `place` is that of the first. */
  constructor(take, place = 0) {
    this.take = take;
    this.place = place;
    this.line = null;
    this.streams = [new Stream(0), new Stream(ERR)];
  }

  /** The line that is not complete yet, as it stands; null if there is none. */
  get current() {
    return this.line === null ? null : this.line.finished();
  }

  /** Read bytes that begin at `offset`, and came at `time` on stderr or on stdout. */
  write(bytes, offset, time, err = false) {
    const stream = this.streams[err ? 1 : 0];
    let at = 0;
    while (at < bytes.length) {
      this.line ??= new Line(offset + at, time, this.place);
      const newline = bytes.indexOf(10, at);
      let end = newline < 0 ? bytes.length : newline;
      if (end - at > STEP) {
        end = at + STEP;
        while (end > at + STEP - 4 && (bytes[end] & 0xc0) === 0x80) end -= 1;
      }
      const whole = end === newline;
      const text = stream.decoder.decode(bytes.subarray(at, end), { stream: !whole });
      if (text !== "") this.#read(stream, text);
      at = whole ? end + 1 : end;
      if (whole) {
        for (const each of this.streams) this.#abort(each);
        this.end();
        this.place += 1;
      } else if (this.line.length > MAX_CELLS) {
        this.line.cut = true;
        this.end();
      }
    }
  }

  /** End the line here, complete or not. */
  end() {
    if (this.line === null) return;
    const line = this.line.finished();
    line.cut = this.line.cut;
    this.line = null;
    this.take(line);
  }

  #abort(stream) {
    stream.state = GROUND;
    stream.params = "";
    if (stream.style.link !== "") stream.style = { ...stream.style, link: "" };
  }

  #read(stream, text) {
    let at = 0;
    while (at < text.length) {
      if (stream.state === GROUND) {
        SPECIAL.lastIndex = at;
        const found = SPECIAL.exec(text);
        const end = found === null ? text.length : found.index;
        if (end > at) this.line.put(text.slice(at, end), stream.style);
        if (found !== null) this.#control(stream, text.charCodeAt(end));
        at = end + 1;
      } else if (stream.state === OSC || stream.state === STRING) {
        STRING_END.lastIndex = at;
        const found = STRING_END.exec(text);
        const end = found === null ? text.length : found.index;
        if (stream.state === OSC && stream.params.length <= MAX_LINK) {
          stream.params += text.slice(at, Math.min(end, at + MAX_LINK + 1));
        }
        if (found !== null) this.#endString(stream, found[0]);
        at = end + 1;
      } else if (this.#step(stream, text[at])) {
        at += 1;
      }
    }
  }

  /** A control character, or one that is shown because it hides or reorders text. */
  #control(stream, code) {
    const { line } = this;
    if (code === 0x0d) line.home();
    else if (code === 0x08) line.back();
    else if (code === 0x09) line.tab(stream.style);
    else if (code === 0x1b) stream.state = ESC;
    else if (code === 0x9b) stream.state = CSI;
    else if (code === 0x9d) stream.state = OSC;
    else if ([0x90, 0x98, 0x9e, 0x9f].includes(code)) stream.state = STRING;
    else if (code === 0x0e || code === 0x0f || code === 0x9c) return; // shifts, ST
    else if (code < 0x20) line.put(String.fromCharCode(0x2400 + code), stream.style);
    else if (code === 0x7f) line.put("\u2421", stream.style);
    else line.put(`<U+${code.toString(16).toUpperCase().padStart(4, "0")}>`, stream.style);
  }

  /** One character of a sequence. False if it stands for itself after all. */
  #step(stream, character) {
    const code = character.charCodeAt(0);
    if (code === 0x1b) {
      stream.state = ESC;
      stream.params = "";
    } else if (code === 0x18 || code === 0x1a) {
      this.#reset(stream);
    } else if (code < 0x20) {
      if (code === 0x0d || code === 0x08 || code === 0x09) this.#control(stream, code);
    } else if (code > 0x7e) {
      this.#reset(stream);
      return false;
    } else if (stream.state === ESC && character === "[") {
      stream.state = CSI;
    } else if (stream.state === ESC && character === "]") {
      stream.state = OSC;
    } else if (stream.state === ESC && STRINGS.includes(character)) {
      stream.state = STRING;
    } else if (stream.state === CSI && code < 0x40) {
      if (stream.params.length <= MAX_PARAMS) stream.params += character;
    } else if (stream.state !== CSI && code < 0x30) {
      stream.state = NF;
    } else {
      if (stream.state === CSI) this.#sequence(stream, character);
      this.#reset(stream);
    }
    return true;
  }

  #reset(stream) {
    stream.state = GROUND;
    stream.params = "";
  }

  #sequence(stream, final) {
    const { params } = stream;
    if (params.length > MAX_PARAMS) return;
    if (final === "m" && /^[\d:;]*$/.test(params)) {
      stream.style = sgr(stream.style, params);
    } else if (final === "K" && /^0*[012]?$/.test(params)) {
      this.line.erase(Number(params));
    }
  }

  #endString(stream, by) {
    const { params, state } = stream;
    if (by === "\x07" && state !== OSC) return; // part of the string
    this.#reset(stream);
    if (by === "\x1b") stream.state = ESC;
    if (state !== OSC || by === "\x18" || by === "\x1a" || params.length > MAX_LINK) return;
    const found = /^8;[^;]*;(.*)$/s.exec(params);
    if (found !== null) this.#link(stream, found[1]);
  }

  /** A link begins, or ends: the reader sees where it leads. */
  #link(stream, uri) {
    const { link } = stream.style;
    const next = address(uri);
    if (link === next) return;
    if (link !== "") this.line.put(` (${link})`, stream.style);
    stream.style = { ...stream.style, link: next };
  }
}

/** A web address in ASCII, or "" for what is none. */
function address(uri) {
  if (!/^https?:/i.test(uri) || !URL.canParse(uri)) return "";
  const { href } = new URL(uri);
  return href.length > MAX_LINK ? "" : href;
}
