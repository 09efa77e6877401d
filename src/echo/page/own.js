// ---- The page's own connection, as the server sees it ----

/** The page's own connection among those of the server. It is known by the `id` in its URL. */
class Own {
  static #WAIT = 20_000;
  static #CHARACTERS = "abcdefghijkmnpqrstuvwxyz23456789";
  /** A name that no other page has. */
  #name = `page-${Array.from(crypto.getRandomValues(new Uint8Array(6)), (byte) => Own.#CHARACTERS[byte % 32]).join("")}`;
  /** The name and the key of the connection, once they are found; and after that. */
  #known = null;
  #url = null;
  #current = null;

  constructor(api) {
    this.api = api;
  }

  /** The URL with a name: that of its writer's choice, or this page's. */
  named(url) {
    const name = idIn(url);
    return name && !Own.#isMade(name) ? url : withId(url, this.#name);
  }

  /** The URL without a name that a page has made. */
  static unnamed(url) {
    const name = idIn(url);
    return name && Own.#isMade(name) ? withId(url, null) : url;
  }

  static #isMade(name) {
    return /^page-[a-z2-9]{6}$/.test(name);
  }

  /** Looks for the connection that has been opened with this URL. */
  async opened(url) {
    const known = this.#find(url);
    [this.#url, this.#known, this.#current] = [url, known, null];
    const found = await known;
    if (this.#known === known) this.#current = found;
  }

  /** Looks again, unless the connection has been found, or is over. */
  async seek() {
    if (this.#url && !this.#current) await this.opened(this.#url);
  }

  /** Whether this is the connection that the page has now. */
  is(connection) {
    return this.#current?.key === keyOf(connection);
  }

  /** The connection as it was at its end, and again once TCP has ended too, or the wait for that is over. */
  async *endings() {
    const known = this.#known;
    [this.#url, this.#known, this.#current] = [null, null, null];
    const { id, key } = (await known) ?? {};
    if (!id) return;
    const find = (all) => all.find((connection) => keyOf(connection) === key);
    const all = await this.#all(id);
    const first = find(all);
    if (first?.end) yield first;
    if (!first || first.state === "closed") return;
    const count = all.filter(({ state }) => state === "closed").length + 1;
    const query = new URLSearchParams({ id, state: "closed", count, wait: `${Own.#WAIT / 1_000}s` });
    await this.api.ask("GET", `/connections?${query}`, { wait: Own.#WAIT });
    const last = find(await this.#all(id));
    if (last) yield last;
  }

  /** The name and the key of the connection, or null. */
  async #find(url) {
    const id = isOfThisServer(url) ? idIn(url) : null;
    if (!id || this.api.needsToken) return null;
    const all = await this.#all(id).catch(() => []);
    return all.length ? { id, key: keyOf(all.at(-1)) } : null;
  }

  async #all(id) {
    return (await this.api.ask("GET", `/connections?${new URLSearchParams({ id })}`)).connections;
  }
}

