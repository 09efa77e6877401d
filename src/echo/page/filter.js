// ---- The filter ----

/** Bytes of a binary message that the filter sees, as hex. */
const MAX_SIFTED = 4096;

/** Optional parts and choices of a regular expression, each of which may double the time that it takes. */
const MAX_CHOICES = 12;
const TOKENS = /\\.|\[(?:\\.|[^\]\\])*\]|\((?:\?(?:[:=!]|<[=!]|<\w+>))?|\)|\||[*+?]\??|\{\d+(?:,\d*)?\}\??|[^]/gs;

/**
 * Counts what a regular expression repeats: the power of a text's length that its time grows by, less one. Throws
 * where it could grow faster, which is where what repeats holds a repetition or a choice itself: browsers match by
 * backtracking, and nothing can interrupt them.
 */
function repetitionsIn(source) {
  const open = [];
  let [count, choices, last] = [0, 0, null];
  for (const [token] of source.matchAll(TOKENS)) {
    const isRepetition = /^(?:[*+]|\{\d+,)/.test(token);
    const isChoice = token === "|" || token[0] === "?";
    if ((isRepetition || /^\{\d/.test(token)) && last?.isAmbiguous) {
      throw new Error("A group that repeats may hold no repetition and no choice here: it could take for ever.");
    }
    if (isRepetition || isChoice) open.forEach((group) => (group.isAmbiguous = true));
    count += isRepetition;
    choices += isChoice && (token !== "|" || open.length > 0);
    if (token[0] === "(") open.push({ isAmbiguous: false });
    last = token === ")" ? open.pop() : null;
  }
  if (choices > MAX_CHOICES) throw new Error(`An expression may have ${MAX_CHOICES} choices here.`);
  return count;
}

/** A text, or a regular expression between slashes, and whether it is in others. */
class Filter {
  #wanted = "";
  #expression = null;
  #power = 1;
  /** Milliseconds that this filter has left. */
  #left = MAX_SIFTING;

  /** Throws what is wrong with the expression. */
  constructor(wanted) {
    const [, source, flags] = /^\/(.+)\/([a-z]*)$/s.exec(wanted) ?? [];
    this.#wanted = wanted.toLowerCase();
    if (!source) return;
    // These two would have a match begin where the last one ended.
    this.#expression = new RegExp(source, flags.replace(/[gy]/g, ""));
    this.#power = 1 + repetitionsIn(source);
  }

  lets({ kind, body }) {
    if (!this.#wanted) return true;
    const text = kind === "binary" ? hexOf(body.subarray(0, MAX_SIFTED)) : body;
    return this.#expression ? this.#matches(text) : text.toLowerCase().includes(this.#wanted);
  }

  /** Gives the time back: what comes later comes one by one. */
  rest() {
    this.#left = MAX_SIFTING / 10;
  }

  /** Looks at more and more of a long text, as long as twice as much cannot take too long. */
  #matches(text) {
    for (let length = Math.floor(2 ** (20 / this.#power)); ; length *= 2) {
      if (this.#left < 0) throw new Error("This expression takes too long: all is shown.");
      const begun = performance.now();
      const isFound = this.#expression.test(text.slice(0, length));
      const took = performance.now() - begun;
      this.#left -= took;
      if (length >= text.length || took * 2 ** this.#power > MAX_MATCHING) return isFound;
    }
  }
}

