// How many cells of a terminal a character takes.

/** What takes two: East Asian Width (UAX 11) calls it wide or full, or it is an emoji. */
export const WIDE = /[\u1100-\u115f\u2329\u232a\u2630-\u2637\u268a-\u268f\u2e80-\u3029\u3030-\u303e\u3041-\u3096\u309b-\u3163\u3165-\u3247\u3250-\ua4c6\ua960-\ua97c\uac00-\ud7a3\uf900-\ufaff\ufe10-\ufe19\ufe30-\ufe6b\uff01-\uff60\uffe0-\uffe6\u{16fe0}-\u{16fe3}\u{16ff2}-\u{1b2fb}\u{1d300}-\u{1d376}\u{1f1ae}-\u{1f265}\u{1f6d9}\u{1f7da}\u{1fa8b}-\u{1fafa}\u{20000}-\u{3fffd}]|\p{Emoji_Presentation}/u;
/** What is drawn into the cell of the character before: marks, and parts of a syllable. */
export const JOINED = /[\p{M}\u1160-\u11ff\ud7b0-\ud7fb]/u;
/** What is not drawn. */
const HIDDEN = /(?![\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\u{110bd}\u{110cd}])[\p{Cf}\u2028\u2029\u3164\uffa0]/u;

export function width(character) {
  if (character < "\u0300") return 1;
  if (JOINED.test(character) || HIDDEN.test(character)) return 0;
  return WIDE.test(character) ? 2 : 1;
}
