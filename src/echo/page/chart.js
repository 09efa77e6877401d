// ---- The chart ----

/** Round trips over the window on a logarithmic scale, and below them a tick for each heart beat. */
class Chart {
  static #LEFT = 58;
  static #LANE = 22;
  static #FOOT = 16;
  #canvas = byId("chart");
  #context = this.#canvas.getContext("2d");

  draw({ trips, beats, median, high }, now) {
    this.#begin();
    const slots = trips.recent(now);
    const y = this.#scale(slots);
    const x = (at) => this.width - ((now - at) / WINDOW) * (this.width - Chart.#LEFT);
    this.#grid(y);
    this.#trips(slots, x, y);
    if (median !== null) this.#level("p50", y(median));
    if (high !== null) this.#level("p99", y(high));
    this.#beats(beats.recent(now), beats.rhythm(now), x);
    const summary = median === null ? "none" : `p50 ${writeTime(median)}, p99 ${writeTime(high)}`;
    const label = `Of the last two minutes: round trips ${summary}; heart beats ${beats.recent(now).length}.`;
    this.#canvas.setAttribute("aria-label", label);
  }

  #begin() {
    const { clientWidth, clientHeight } = this.#canvas;
    const ratio = devicePixelRatio;
    [this.width, this.height] = [clientWidth, clientHeight];
    const [width, height] = [Math.round(clientWidth * ratio), Math.round(clientHeight * ratio)];
    const isAsBefore = this.#canvas.width === width && this.#canvas.height === height;
    if (!isAsBefore) Object.assign(this.#canvas, { width, height });
    this.#context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.#context.clearRect(0, 0, clientWidth, clientHeight);
    this.#context.font = "11px system-ui, sans-serif";
    const style = getComputedStyle(document.documentElement);
    this.color = (name) => style.getPropertyValue(`--${name}`);
  }

  get #floor() {
    return this.height - Chart.#LANE - Chart.#FOOT - 8;
  }

  /** From milliseconds to a height, whole decades around what there is. */
  #scale(slots) {
    const lows = slots.map(({ low }) => Math.max(low, 0.01));
    const highs = slots.map(({ high }) => Math.max(high, 0.01));
    this.from = Math.floor(Math.log10(Math.min(0.99, ...lows)));
    this.to = Math.max(Math.ceil(Math.log10(Math.max(1.01, ...highs))), this.from + 2);
    // Above the highest line there is room for a label.
    const step = (this.#floor - 18) / (this.to - this.from);
    return (ms) => this.#floor - (Math.log10(Math.max(ms, 10 ** this.from)) - this.from) * step;
  }

  #grid(y) {
    for (let decade = this.from; decade <= this.to; decade += 1) {
      const [value, unit] = decade < 3 ? [10 ** decade, "ms"] : [10 ** (decade - 3), "s"];
      const height = y(10 ** decade);
      this.#line(Chart.#LEFT, height, this.width, height, "line");
      this.#label(`${Number(value.toPrecision(1))} ${unit}`, Chart.#LEFT - 8, height + 4, "soft", "right");
    }
    const foot = this.height - 2;
    this.#label("2 min ago", Chart.#LEFT, foot, "soft", "left");
    this.#label("1 min ago", (this.width + Chart.#LEFT) / 2, foot, "soft", "center");
    this.#label("now", this.width, foot, "soft", "right");
  }

  #trips(slots, x, y) {
    this.#context.fillStyle = this.color("accent");
    const width = Math.max(((this.width - Chart.#LEFT) / WINDOW) * RoundTrips.SLOT - 0.5, 2.5);
    for (const { at, low, high } of slots) {
      const left = x(at + RoundTrips.SLOT);
      if (left < Chart.#LEFT) continue;
      const top = y(high) - 1.5;
      this.#context.fillRect(Math.min(left, this.width - width), top, width, Math.max(y(low) + 1.5 - top, 3));
    }
  }

  #level(name, height) {
    const color = name === "p50" ? "good" : "warn";
    this.#context.setLineDash([4, 3]);
    this.#line(Chart.#LEFT, height, this.width, height, color);
    this.#context.setLineDash([]);
    // One above its line and one below, for the two are often close.
    this.#label(name, Chart.#LEFT + 4, name === "p50" ? height + 12 : height - 4, color, "left");
  }

  /** A beat that is off its rhythm by a tenth, and by more than a timer's whim, stands out. */
  #beats(beats, rhythm, x) {
    const [top, bottom] = [this.height - Chart.#FOOT - Chart.#LANE, this.height - Chart.#FOOT];
    this.#label("beats", Chart.#LEFT - 8, bottom - 6, "beat", "right");
    this.#line(Chart.#LEFT, bottom, this.width, bottom, "line");
    for (const { at, interval } of beats) {
      const off = interval === null ? 0 : Math.abs(interval - rhythm.mean);
      const isOff = off > rhythm?.mean / 10 && off > 20;
      const here = x(at) - 1;
      if (here >= Chart.#LEFT) this.#line(here, isOff ? top : top + 6, here, bottom, isOff ? "bad" : "beat", 2);
    }
  }

  #line(fromX, fromY, toX, toY, color, width = 1) {
    Object.assign(this.#context, { strokeStyle: this.color(color), lineWidth: width });
    this.#context.beginPath();
    this.#context.moveTo(fromX, fromY);
    this.#context.lineTo(toX, toY);
    this.#context.stroke();
  }

  #label(text, x, y, color, align) {
    Object.assign(this.#context, { fillStyle: this.color(color), textAlign: align });
    this.#context.fillText(text, x, y);
  }
}

