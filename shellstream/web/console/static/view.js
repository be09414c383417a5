// Shows a log: one element a line, in blocks that the browser lays out when they are near.
//
// Elements are made in slices, so that a flood of output does not freeze the page. It
// follows the end until the reader scrolls up.

import { make } from "./dom.js";
import { hidden } from "./log.js";
import * as style from "./sgr.js";

/** How long the page may be busy with new lines at a time, in milliseconds. */
const SLICE = 8;
const FLAGS = [
  [style.BOLD, "bold"], [style.DIM, "dim"], [style.ITALIC, "italic"], [style.BLINK, "blink"],
  [style.HIDDEN, "conceal"], [style.STRIKE, "strike"], [style.UNDERLINE, "under"], [style.OVERLINE, "over"],
];

export class View {
  /**
   * @param {HTMLElement} element scrolls
   * @param {import("./log.js").Log} log
   * @param {() => void} scrolled the reader, or the output, has moved
   */
  constructor(element, log, scrolled) {
    this.element = element;
    this.log = log;
    this.scrolled = scrolled;
    this.following = true;
    this.frame = 0;
    this.top = 0;
    this.elements = new Map(); // block -> element
    this.lines = new WeakMap(); // element -> line
    this.shown = new WeakMap(); // line -> element
    this.current = null;
    this.origin = null; // the log's, as it was shown last
    this.digits = 3; // of the longest number
    element.addEventListener("scroll", () => this.#onScroll(), { passive: true });
    element.addEventListener("click", (event) => this.#onClick(event));
    element.addEventListener("contentvisibilityautostatechange", () => this.stay());
    new ResizeObserver(() => this.stay()).observe(element);
  }

  /** Show what has changed, in the next frame. */
  changed() {
    if (this.frame === 0) this.frame = requestAnimationFrame(() => this.#paint());
  }

  /** Resolves when all that the log has is shown. */
  async settled() {
    while (this.frame !== 0) await new Promise(requestAnimationFrame);
  }

  /** Whether less than so many screens are left to scroll, up and down. */
  near(screens) {
    const { scrollTop, scrollHeight, clientHeight } = this.element;
    const within = screens * clientHeight;
    return { start: scrollTop < within, end: scrollHeight - scrollTop - clientHeight < within };
  }

  follow(following) {
    this.following = following;
    if (following) this.#toEnd();
    this.scrolled();
  }

  /** The layout has changed: a reader who follows is still at the end. */
  stay() {
    if (this.following) this.#toEnd();
  }

  /** Bring a line into the middle of the screen, unfolded. */
  show(line) {
    for (let group = line.group; group !== null; group = group.parent) group.folded = false;
    this.#fold();
    this.following = false;
    this.shown.get(line)?.scrollIntoView({ block: "center" });
    this.top = this.element.scrollTop;
    this.scrolled();
  }

  /** The line at the top of the screen. */
  get first() {
    const { left, top } = this.element.getBoundingClientRect();
    const found = document.elementFromPoint(left + 40, top + 12)?.closest(".line");
    return this.lines.get(found) ?? this.log.blocks[0]?.lines[0] ?? null;
  }

  /** What the line without an end says, as a command asks for something. */
  get prompt() {
    return this.lines.get(this.current)?.text ?? "";
  }

  /** The line of an element in it; undefined if it shows none. */
  lineOf(element) {
    return this.lines.get(element.closest(".line"));
  }

  elementOf(line) {
    return this.shown.get(line);
  }

  #paint() {
    this.frame = 0;
    const { blocks } = this.log;
    const anchor = this.following ? null : this.#anchor();
    const until = performance.now() + SLICE;
    const kept = new Set(blocks);
    for (const [block, element] of this.elements) {
      if (kept.has(block)) continue;
      element.remove();
      this.elements.delete(block);
    }
    let next = this.current;
    for (const block of blocks.toReversed()) next = this.#element(block, next);
    this.#number();
    // A reader who follows sees the end.
    const order = this.following ? blocks.toReversed() : blocks;
    const late = order.some((block) => this.#fill(block, this.elements.get(block), until));
    this.#showCurrent();
    if (this.following) this.#toEnd();
    else if (anchor !== null) this.#restore(anchor);
    if (late) this.changed();
    else this.scrolled();
  }

  #element(block, next) {
    let element = this.elements.get(block);
    if (element === undefined) {
      element = document.createElement("div");
      element.className = "block";
      element.style.minBlockSize = `${block.lines.length}lh`;
      this.elements.set(block, element);
      this.element.insertBefore(element, next);
    }
    return element;
  }

  /** Make the elements of a block's lines; true if there was no time for all. */
  #fill(block, element, until) {
    const missing = block.lines.length - element.childElementCount;
    if (missing === 0 && element.style.minBlockSize === "") return false;
    const made = document.createDocumentFragment();
    let late = false;
    for (let at = block.lines.length - missing; at < block.lines.length; at += 1) {
      made.append(this.#line(block.lines[at], block.lines[at - 1]));
      late = at % 32 === 0 && performance.now() > until;
      if (late) break;
    }
    element.append(made);
    // The place that it takes where it is not laid out; the browser remembers better.
    const size = `${block.lines.length}lh`;
    element.style.minBlockSize = late ? size : "";
    element.style.containIntrinsicBlockSize = block.full && !late ? `auto ${size}` : size;
    return late;
  }

  #line(line, before) {
    const element = document.createElement("div");
    this.lines.set(element, line);
    this.shown.set(line, element);
    element.className = `line${line.err ? " err" : ""}${line.cut ? " cut" : ""}`;
    // A row that goes on with the line of the one before has no number of its own.
    element.dataset.number = line.sent ? "›" : line.place === before?.place ? "" : this.log.numberOf(line) ?? "·";
    if (line.time) element.dataset.time = clock(line.time);
    if (hidden(line)) element.hidden = true;
    if (line.gap !== undefined) {
      element.className = "line gap";
      element.textContent = `${line.gap.toLocaleString()} bytes are not kept`;
      return element;
    }
    if (line.sent) {
      element.className = "line sent";
      element.append(make("span", { className: "hidden" }, "Sent: "), line.text);
      return element;
    }
    if (line.head) {
      const fold = document.createElement("button");
      fold.className = "fold";
      fold.type = "button";
      fold.setAttribute("aria-expanded", String(!line.head.folded));
      append(fold, line);
      element.append(fold);
    } else {
      append(element, line);
    }
    return element;
  }

  /** Show the numbers of lines that are known by now, and make room for the longest. */
  #number() {
    const { blocks, origin, reader } = this.log;
    const digits = origin === null || Number.isNaN(reader.place) ? 0 : String(origin + reader.place).length;
    if (digits > this.digits) {
      this.digits = digits;
      this.element.style.setProperty("--digits", digits);
    }
    if (this.origin === origin) return;
    this.origin = origin;
    for (const line of blocks.flatMap((each) => each.lines)) {
      const element = this.shown.get(line);
      if (element?.dataset.number === "·") element.dataset.number = this.log.numberOf(line) ?? "·";
    }
  }

  #showCurrent() {
    const line = this.log.current;
    const element = line === null ? null : this.#line(line, this.log.blocks.at(-1)?.lines.at(-1));
    if (this.current !== null && element !== null) this.current.replaceWith(element);
    else if (element !== null) this.element.append(element);
    else this.current?.remove();
    this.current = element;
  }

  #toEnd() {
    this.element.scrollTop = this.element.scrollHeight;
    this.top = this.element.scrollTop;
  }

  /** An element on the screen, and where: it stays there whatever comes and goes above. */
  #anchor() {
    const { top } = this.element.getBoundingClientRect();
    const element = this.shown.get(this.first);
    return element === undefined ? null : { element, from: element.getBoundingClientRect().top - top };
  }

  #restore({ element, from }) {
    if (!element.isConnected) return;
    const { top } = this.element.getBoundingClientRect();
    const moved = element.getBoundingClientRect().top - top - from;
    if (Math.abs(moved) >= 1) this.element.scrollTop += moved;
    this.top = this.element.scrollTop;
  }

  get isAtEnd() {
    const { scrollTop, scrollHeight, clientHeight } = this.element;
    return scrollHeight - scrollTop - clientHeight < 8;
  }

  #onScroll() {
    const { scrollTop } = this.element;
    const atEnd = this.isAtEnd;
    // What is dropped, or laid out smaller than expected, moves the end, too.
    if (atEnd && scrollTop > this.top) this.following = true;
    else if (!atEnd && scrollTop < this.top - 1) this.following = false;
    this.top = scrollTop;
    this.scrolled();
  }

  #onClick(event) {
    const fold = event.target.closest(".fold");
    if (fold === null) return;
    const { head } = this.lineOf(fold);
    head.folded = !head.folded;
    fold.setAttribute("aria-expanded", String(!head.folded));
    this.#fold();
    this.following &&= this.isAtEnd;
  }

  #fold() {
    for (const block of this.log.blocks) {
      for (const line of block.lines) {
        const element = this.shown.get(line);
        if (element === undefined) continue;
        if (line.group !== null) element.hidden = hidden(line);
        if (line.head) element.firstChild.setAttribute("aria-expanded", String(!line.head.folded));
      }
    }
  }
}

/** The time of a line in the reader's zone, to the millisecond. */
export function clock(time) {
  const date = new Date(time);
  const two = (number, width = 2) => String(number).padStart(width, "0");
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${two(date.getMilliseconds(), 3)}`;
}

/** Add the styled text of a line to an element. */
export function append(element, { text, runs }) {
  if (text === "") element.append("\n");
  let at = 0;
  for (let run = 0; run < runs.length; run += 2) {
    const part = text.slice(at, at + runs[run + 1]);
    at += runs[run + 1];
    element.append(isPlain(runs[run]) ? part : styled(part, runs[run]));
  }
}

const isPlain = ({ fg, bg, flags, link }) => fg === null && bg === null && link === "" && (flags & ~style.ERR) === 0;

function styled(text, { fg, bg, flags, link }) {
  const element = document.createElement(link === "" ? "span" : "a");
  if (link !== "") Object.assign(element, { href: link, rel: "noopener noreferrer", target: "_blank" });
  const classes = FLAGS.filter(([flag]) => flags & flag).map(([, name]) => name);
  const reverse = flags & style.REVERSE;
  const front = reverse ? bg ?? "back" : fg;
  const back = reverse ? fg ?? "ink" : bg;
  if (isHex(front)) {
    classes.push("rgb");
    element.style.setProperty("--rgb", front);
  } else if (front !== null) {
    classes.push(`f-${front}`);
  }
  if (isHex(back)) {
    classes.push("on", isBright(back) ? "bright" : "dark");
    element.style.backgroundColor = back;
  } else if (back !== null) {
    classes.push("on", `b-${back}`);
  }
  element.className = classes.join(" ");
  element.textContent = text;
  return element;
}

const isHex = (colour) => typeof colour === "string" && colour.startsWith("#");

/** Whether black is easier to read on a colour than white. */
function isBright(hex) {
  const [red, green, blue] = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16) ** 2.2);
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.18 * 255 ** 2.2;
}
