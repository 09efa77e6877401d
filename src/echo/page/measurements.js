// ---- Measurements ----

/** Round trips of the window, in slots of half a second, each with a histogram: bounded, however many there are. */
class RoundTrips {
  static SLOT = 500;
  /** Bins for each doubling: a percentile is right to 1.1 %. */
  static #BINS = 32;
  #slots = [];
  last = null;
  count = 0;

  add(now, trip) {
    const at = Math.floor(now / RoundTrips.SLOT) * RoundTrips.SLOT;
    let slot = this.#slots.at(-1);
    if (slot?.at !== at) this.#slots.push((slot = { at, low: trip, high: trip, bins: new Map() }));
    slot.low = Math.min(slot.low, trip);
    slot.high = Math.max(slot.high, trip);
    const bin = Math.round(Math.log2(Math.max(trip, 0.001)) * RoundTrips.#BINS);
    slot.bins.set(bin, (slot.bins.get(bin) ?? 0) + 1);
    this.last = trip;
    this.count += 1;
  }

  /** The slots that are in the window still. */
  recent(now) {
    while (this.#slots.length && this.#slots[0].at < now - WINDOW) this.#slots.shift();
    return this.#slots;
  }

  /** The values under which these shares of the window's round trips are; null where there are none. */
  percentiles(now, shares) {
    const bins = new Map();
    for (const slot of this.recent(now)) {
      for (const [bin, count] of slot.bins) bins.set(bin, (bins.get(bin) ?? 0) + count);
    }
    const sorted = [...bins].sort(([one], [other]) => one - other);
    const total = sorted.reduce((sum, [, count]) => sum + count, 0);
    return shares.map((share) => {
      let rank = Math.ceil(total * share);
      const found = sorted.find(([, count]) => (rank -= count) <= 0);
      return found ? 2 ** (found[0] / RoundTrips.#BINS) : null;
    });
  }
}

/** When heart beats came, in the window. */
class HeartBeats {
  static #MOST = 2_000;
  #times = [];
  count = 0;

  add(now) {
    this.#times.push(now);
    this.count += 1;
    if (this.#times.length > HeartBeats.#MOST) this.#times.shift();
  }

  /** Another connection begins another rhythm: the gap between the two is not an interval. */
  pause() {
    if (this.#times.at(-1) !== null) this.#times.push(null);
  }

  /** Times with the interval before each; null for the first of a connection. */
  recent(now) {
    while (this.#times.length && (this.#times[0] ?? 0) < now - WINDOW) this.#times.shift();
    return this.#times.flatMap((at, index) => {
      const before = this.#times[index - 1] ?? null;
      return at === null ? [] : [{ at, interval: before === null ? null : at - before }];
    });
  }

  /** The interval's mean and standard deviation; null without two beats of one connection. */
  rhythm(now) {
    const intervals = this.recent(now).flatMap(({ interval }) => interval ?? []);
    if (!intervals.length) return null;
    const mean = intervals.reduce((sum, interval) => sum + interval, 0) / intervals.length;
    const variance = intervals.reduce((sum, interval) => sum + (interval - mean) ** 2, 0) / intervals.length;
    return { mean, jitter: intervals.length > 1 ? Math.sqrt(variance) : null };
  }
}

/** What was sent and has not come back. */
class Echoes {
  /** How far an echo may be out of order. */
  static #REACH = 64;
  #waiting = [];
  #first = 0;
  #bytes = 0;

  get waiting() {
    return this.#waiting.length - this.#first;
  }

  sent(message) {
    this.#waiting.push(message);
    this.#bytes += message.size;
    while (this.waiting > MAX_WAITING || this.#bytes > MAX_WAITING_BYTES) this.#take(0);
  }

  /** Takes out the message that came back as `message`, byte for byte; null where none did. */
  takeSame(message) {
    const reach = Math.min(this.waiting, Echoes.#REACH);
    for (let ahead = 0; ahead < reach; ahead += 1) {
      if (areSame(this.#waiting[this.#first + ahead], message)) return this.#take(ahead);
    }
    return null;
  }

  /** Takes out the next message, if `message` may be what became of it: its kind and its size tell. */
  takeChanged({ kind, size }) {
    const next = this.#waiting[this.#first];
    return next?.kind === kind && next.size === size ? this.#take(0) : null;
  }

  forget() {
    [this.#waiting, this.#first, this.#bytes] = [[], 0, 0];
  }

  /** Takes one out. The front is a step forward alone: to move all that wait is too much for each echo. */
  #take(ahead) {
    const index = this.#first + ahead;
    const message = this.#waiting[index];
    if (ahead) this.#waiting.splice(index, 1);
    else this.#waiting[this.#first++] = undefined;
    if (this.#first > 1024 && this.#first * 2 > this.#waiting.length) {
      this.#waiting.splice(0, this.#first);
      this.#first = 0;
    }
    this.#bytes -= message.size;
    return message;
  }
}

function areSame(one, other) {
  if (one.kind !== other.kind || one.size !== other.size) return false;
  if (one.kind === "text") return one.data === other.data;
  return one.data.every((byte, index) => byte === other.data[index]);
}

/** A message as sockets take and give it. */
function messageOf(data) {
  if (typeof data === "string") return { kind: "text", data, size: encoder.encode(data).length };
  const bytes = new Uint8Array(data);
  return { kind: "binary", data: bytes, size: bytes.length };
}

