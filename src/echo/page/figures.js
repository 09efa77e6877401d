// ---- The figures ----

/** All that is measured, of all connections since the page was opened or cleared. */
class Measurements {
  trips = new RoundTrips();
  beats = new HeartBeats();
  counts = { out: { text: 0, binary: 0, bytes: 0 }, in: { text: 0, binary: 0, bytes: 0 } };
  echoes = { same: 0, changed: 0, lost: 0 };

  count(direction, { kind, size }) {
    this.counts[direction][kind] += 1;
    this.counts[direction].bytes += size;
  }
}

function showTrips({ trips, echoes }, { median, high }, waiting) {
  write("trip-median", median === null ? "–" : writeTime(median));
  write("trip-high", high === null ? "–" : writeTime(high));
  write("trip-last", trips.last === null ? "of the last two minutes" : `last ${writeTime(trips.last)}`);
  write("trip-count", trips.count ? `of ${writeCount(trips.count)} in all` : "");
  write("echo-count", writeCount(echoes.same));
  const others = [[echoes.changed, "changed"], [echoes.lost, "lost"], [waiting, "waiting"]].filter(([count]) => count);
  write("echo-note", others.map(([count, word]) => `${writeCount(count)} ${word}`).join(", ") || "byte for byte");
}

function showBeats(beats, now) {
  const rhythm = beats.rhythm(now);
  const last = beats.recent(now).at(-1);
  write("beat-count", writeCount(beats.count));
  write("beat-note", last ? `last ${Math.round((now - last.at) / 1000)} s ago` : "none of late");
  write("beat-interval", rhythm ? writeTime(rhythm.mean) : "–");
  write("beat-jitter", rhythm && rhythm.jitter !== null ? `jitter ${writeTime(rhythm.jitter)}` : "");
}

function showTraffic({ counts }, buffered) {
  for (const [direction, id] of [["out", "sent"], ["in", "received"]]) {
    const { text, binary, bytes } = counts[direction];
    write(`${id}-count`, writeCount(text + binary));
    const waiting = direction === "out" && buffered ? `, ${writeBytes(buffered)} buffered` : "";
    write(`${id}-note`, writeBytes(bytes) + waiting);
  }
}

