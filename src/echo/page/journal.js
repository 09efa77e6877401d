// ---- The journal: what happened, the last of it ----

class Journal {
  records = [];
  #bytes = 0;
  dropped = 0;

  /** Keeps a record, at the cost of the oldest. */
  add(record) {
    this.records.push({ time: Date.now(), ...record });
    this.#bytes += record.body?.length ?? 0;
    while (this.records.length > MAX_RECORDS || this.#bytes > MAX_KEPT_BYTES) {
      this.#bytes -= this.records.shift().body?.length ?? 0;
      this.dropped += 1;
    }
    return this.records.at(-1);
  }

  clear() {
    [this.records, this.#bytes, this.dropped] = [[], 0, 0];
  }

  /** All that is kept, as JSON lines. */
  lines() {
    return this.records.map((record) => `${JSON.stringify(exported(record))}\n`);
  }
}

/** What a record keeps of a message. */
function bodyOf({ kind, data, size }) {
  const isCut = size > MAX_BODY;
  if (kind === "binary") return { body: isCut ? data.slice(0, MAX_BODY) : data, isCut };
  // Through bytes and back, since a slice of a string keeps the whole of it in memory.
  return { body: isCut ? decoder.decode(encoder.encode(data.slice(0, MAX_BODY))) : data, isCut };
}

function exported({ time, direction, kind, size, body, isCut, trip, echo, fields }) {
  const content = kind === "binary" ? { hex: hexOf(body, "") } : { text: body };
  return {
    time: new Date(time).toISOString(), direction, kind, size, ...content, cut: isCut || undefined,
    echo, roundTripMs: trip === undefined ? undefined : Number(trip.toFixed(3)), ...fields,
  };
}

