// Random choices that are the same each time (mulberry32).

export class Random {
  constructor(seed) {
    this.state = seed;
  }

  /** A whole number from 0 on, below `limit`. */
  below(limit) {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * limit);
  }

  choice(items) {
    return items[this.below(items.length)];
  }
}
