// ---- The open connections of the server ----

/** What tells a connection from all others: names may be used again, and over HTTP/2 several share a number. */
const keyOf = ({ number, transport }) => `${number}.${transport.stream ?? 0}`;

/** The newest of the open connections, and how many there are. */
class Roster {
  #open = new Map();
  /** Connections that are open, and too old to be kept here. */
  #others = 0;
  /** What has happened since a list was asked for, by key; null where it was the end. */
  #since = null;

  get count() {
    return this.#open.size + this.#others;
  }

  /** Whether connections that could be shown are not kept here. */
  get isShort() {
    return this.#others > 0 && this.#open.size < MAX_SHOWN;
  }

  /** The newest, first. */
  get newest() {
    const stream = ({ transport }) => transport.stream ?? 0;
    const newestFirst = (one, other) => other.number - one.number || stream(other) - stream(one);
    return [...this.#open.values()].sort(newestFirst).slice(0, MAX_SHOWN);
  }

  get topics() {
    return new Set(this.newest.flatMap(({ topics }) => topics));
  }

  has(key) {
    return this.#open.has(key);
  }

  opened(connection) {
    const key = keyOf(connection);
    if (this.has(key)) return;
    this.#since?.set(key, connection);
    this.#open.set(key, connection);
    if (this.#open.size <= MAX_TRACKED) return;
    this.#open.delete(this.#open.keys().next().value);
    this.#others += 1;
  }

  closed(connection) {
    const key = keyOf(connection);
    this.#since?.set(key, null);
    const oldest = this.#open.values().next().value;
    if (!this.#open.delete(key) && connection.number < oldest?.number) this.#others = Math.max(this.#others - 1, 0);
  }

  /** Begins to note what happens, until there is a list. */
  willList() {
    this.#since = new Map();
  }

  /** Takes a list of open connections, oldest first, of so many in all. */
  listed(connections, total) {
    const since = this.#since ?? new Map();
    this.#since = null;
    const open = connections.filter((connection) => since.get(keyOf(connection)) !== null);
    const kept = open.slice(-MAX_TRACKED);
    this.#open = new Map(kept.map((connection) => [keyOf(connection), connection]));
    this.#others = Math.max(total - (connections.length - open.length) - kept.length, 0);
    for (const connection of since.values()) if (connection && !this.has(keyOf(connection))) this.opened(connection);
  }

  /** Takes what a later list says. Those that were `expected` in it and are not there are closing. */
  updated(connections, expected) {
    for (const connection of connections) {
      const key = keyOf(connection);
      if (this.has(key)) this.#open.set(key, connection);
      expected.delete(key);
    }
    for (const key of expected) {
      if (this.has(key)) this.#open.set(key, { ...this.#open.get(key), state: "closing" });
    }
  }
}

