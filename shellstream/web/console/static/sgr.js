// Colours and attributes of text: Select Graphic Rendition (ECMA-48, 8.3.117).

/** Attributes, as bits of a style's `flags`. ERR marks what came on stderr. */
export const BOLD = 1, DIM = 2, ITALIC = 4, UNDERLINE = 8, BLINK = 16, REVERSE = 32,
  HIDDEN = 64, STRIKE = 128, OVERLINE = 256, ERR = 512;

/** A style: `fg` and `bg` are 0 to 15, "#rrggbb" or null; `link` is an address or "". */
export const PLAIN = Object.freeze({ fg: null, bg: null, flags: 0, link: "" });

const SET = { 1: BOLD, 2: DIM, 3: ITALIC, 4: UNDERLINE, 5: BLINK, 6: BLINK, 7: REVERSE,
  8: HIDDEN, 9: STRIKE, 21: UNDERLINE, 53: OVERLINE };
const RESET = { 22: BOLD | DIM, 23: ITALIC, 24: UNDERLINE, 25: BLINK, 27: REVERSE,
  28: HIDDEN, 29: STRIKE, 55: OVERLINE };

export const same = (a, b) => a === b ||
  (a.fg === b.fg && a.bg === b.bg && a.flags === b.flags && a.link === b.link);

/** The style after a sequence with these parameters, such as "1;38:5:208". */
export function sgr(style, params) {
  const items = params.split(";");
  let { fg, bg, flags } = style;
  for (let at = 0; at < items.length; at += 1) {
    const [head, ...sub] = items[at].split(":");
    const code = Number(head);
    if (code === 0) {
      [fg, bg, flags] = [null, null, flags & ERR];
    } else if (code === 4 && sub[0] === "0") {
      flags &= ~UNDERLINE;
    } else if (code in SET) {
      flags |= SET[code];
    } else if (code in RESET) {
      flags &= ~RESET[code];
    } else if (code === 38 || code === 48 || code === 58) {
      // With colons a colour space may stand before red, and more may follow blue.
      let given = sub;
      if (sub.length === 0) {
        given = items.slice(at + 1, at + (items[at + 1] === "2" ? 5 : 3));
        at += given.length;
      } else if (sub[0] === "2" && sub.length > 4) {
        given = ["2", ...sub.slice(2, 5)];
      }
      const colour = extended(given);
      if (code === 38) fg = colour ?? fg;
      if (code === 48) bg = colour ?? bg;
    } else if (code === 39) {
      fg = null;
    } else if (code === 49) {
      bg = null;
    } else if (code >= 30 && code <= 37) {
      fg = code - 30;
    } else if (code >= 40 && code <= 47) {
      bg = code - 40;
    } else if (code >= 90 && code <= 97) {
      fg = code - 82;
    } else if (code >= 100 && code <= 107) {
      bg = code - 92;
    }
  }
  return { fg, bg, flags, link: style.link };
}

/** The colour of ["5", index] or ["2", red, green, blue]; null if there is none. */
function extended([mode, ...rest]) {
  const numbers = rest.map(Number);
  if (numbers.some((each) => !(each >= 0 && each <= 255))) return null;
  if (mode === "5" && rest.length === 1) return indexed(numbers[0]);
  return mode === "2" && rest.length === 3 ? hex(numbers) : null;
}

const hex = (rgb) => `#${rgb.map((each) => each.toString(16).padStart(2, "0")).join("")}`;

/** One of xterm's 256 colours: 16 of the page's, a cube of 216, and 24 greys. */
function indexed(index) {
  if (index < 16) return index;
  if (index > 231) return hex(Array(3).fill(8 + (index - 232) * 10));
  const cube = index - 16;
  return hex([36, 6, 1].map((by) => [0, 95, 135, 175, 215, 255][Math.floor(cube / by) % 6]));
}
