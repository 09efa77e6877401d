// ---- What outlives the page: bounded, and nothing that it depends on ----

/** Values in the browser's storage, of this page alone: others may be on the same origin under other paths. */
class Memory {
  #key = `echobeat ${location.pathname}`;
  #values = {};

  constructor() {
    try {
      const values = JSON.parse(localStorage.getItem(this.#key));
      if (values?.constructor === Object) this.#values = values;
    } catch {
      // There is no storage, or nonsense in it: the page begins anew.
    }
  }

  text(name) {
    const value = this.#values[name];
    return typeof value === "string" && value.length <= MAX_STORED ? value : null;
  }

  /** Messages as they were typed, oldest first. */
  get history() {
    const { history } = this.#values;
    const isGood = (sent) => ["text", "hex", "base64"].includes(sent?.kind) && typeof sent.body === "string";
    return Array.isArray(history) ? history.filter(isGood).slice(-MAX_HISTORY) : [];
  }

  set history(history) {
    let length = 0;
    const isStored = ({ body }) => (length += body.length) <= MAX_STORED;
    this.keep({ history: history.toReversed().filter(isStored).reverse() });
  }

  keep(values) {
    Object.assign(this.#values, values);
    try {
      localStorage.setItem(this.#key, JSON.stringify(this.#values));
    } catch {
      // There is no storage, or no room in it.
    }
  }
}

