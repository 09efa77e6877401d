// ---- The page ----

class Page {
  #settings = document.documentElement.dataset;
  #memory = new Memory();
  #journal = new Journal();
  #echoes = new Echoes();
  #measurements = new Measurements();
  #chart = new Chart();
  #api = this.#settings.api === "none" ? null : new Api();
  #own = this.#api && new Own(this.#api);
  #panel = this.#api && new Panel(this.#api, this.#own);
  #link = new Link({ state: (state) => this.#changed(state), message: (data) => this.#received(data) });
  #barrage = new Barrage(this.#link, (data) => this.#send(data), (...shown) => this.#showBarrage(...shown));
  #destination = new Destination(this.#memory, () => (this.#link.isOpen ? this.#link.target.url : null), this.#own);
  #composer = new Composer((data) => this.#send(data), this.#memory);
  #list = new List(this.#journal, { edit: (record) => this.#composer.edit(record) });
  /** The first connection says hello, so that a look at the page tells whether echoes come. */
  #hasGreeted = false;

  start() {
    this.#listen();
    this.#destination.restore();
    this.#noteBarrage();
    this.#connect();
    this.#panel?.start();
    setInterval(() => this.#tick(), 250);
  }

  #listen() {
    const on = (id, event, react) => byId(id).addEventListener(event, react);
    const onSubmit = (id, react) => on(id, "submit", (event) => {
      event.preventDefault();
      react();
    });
    onSubmit("connection", () => this.#connect());
    onSubmit("many", () => this.#startBarrage());
    onSubmit("close", () => this.#close());
    on("disconnect", "click", () => this.#link.disconnect());
    on("reconnect", "input", ({ target }) => (this.#link.isReconnecting = target.checked));
    on("many-what", "input", () => this.#noteBarrage());
    on("send", "input", () => this.#noteBarrage());
    on("many-stop", "click", () => this.#barrage.stop());
    on("clear", "click", () => this.#clear());
    on("export", "click", () => this.#export());
  }

  #connect() {
    this.#link.isReconnecting = byId("reconnect").checked;
    write("ending", "");
    try {
      this.#link.connect(this.#destination.take());
    } catch (error) {
      this.#link.refuse(error.message);
    }
    this.#destination.note();
  }

  #close() {
    try {
      this.#link.disconnect(byId("close-code").valueAsNumber, byId("close-reason").value);
      write("close-problem", "");
    } catch (error) {
      write("close-problem", error.message);
    }
  }

  // What the link tells.

  #changed(state) {
    const { tone, title, note } = described(state);
    showState(state);
    if (state.phase === "invalid") this.#destination.complain(state.problem);
    if (state.phase === "open") this.#opened();
    else if (state.phase !== "closing") this.#ended();
    if (["idle", "closing"].includes(state.phase)) return;
    const url = this.#link.target?.url;
    const fields = { event: state.phase, url, code: state.code, reason: state.reason, clean: state.wasClean };
    const isBegun = state.phase === "connecting";
    const body = [isBegun ? `${title} to ${url}` : title, note].filter(Boolean).join(" · ");
    this.#record({ direction: "none", kind: "event", tone, body, fields });
    if (state.lived === null && !state.isAsked) this.#explain(state, this.#link.target);
    if (state.lived) this.#tellEnding(this.#link.target);
  }

  /** Says how a connection ended as the server saw it. */
  async #tellEnding(target) {
    if (!this.#own || !placeOf(target)) return;
    const tell = (text) => this.#link.target === target && write("ending", text);
    if (!idIn(target.url)) tell("Without a name this page cannot ask the server how the connection ended.");
    try {
      let [body, fields] = ["", null];
      for await (const { id, close, end, ...connection } of this.#own.endings()) {
        body = `The server’s verdict: ${endingOf({ ...connection, close, end }, PAGE)}`;
        fields = { event: "ending", id, close, end };
        tell(body);
      }
      if (fields) this.#record({ direction: "none", kind: "event", tone: "none", body, fields });
    } catch (error) {
      tell(`The server cannot be asked how the connection ended: ${error.message}`);
    }
  }

  /** Says why a handshake failed. */
  async #explain(state, target) {
    const verdict = await verdictOn(target);
    const reason = reasonOf(target, verdict);
    if (this.#link.state !== state) return;
    if (verdict?.sentence) write("state-note", "the server refused the handshake");
    const curl = placeOf(target) ? "" : curlLine(target, location.origin);
    this.#destination.complain(reason, curl);
    const body = [reason, curl].filter(Boolean).join(" ");
    this.#record({ direction: "none", kind: "event", tone: "bad", body, fields: { event: "reason", url: target.url } });
  }

  #opened() {
    this.#destination.complain("");
    this.#destination.note();
    this.#own?.opened(this.#link.target.url).then(() => this.#panel.refresh());
    if (this.#hasGreeted) return;
    this.#hasGreeted = true;
    // Not while the page is still being drawn, which would be measured too.
    setTimeout(() => this.#link.isOpen && this.#send("hello"), 300);
  }

  /** What waits for an echo waits in vain, for it was of another connection. */
  #ended() {
    this.#barrage.stop();
    this.#measurements.echoes.lost += this.#echoes.waiting;
    this.#echoes.forget();
    this.#measurements.beats.pause();
  }

  #received(data) {
    const now = performance.now();
    const message = messageOf(data);
    this.#measurements.count("in", message);
    const same = this.#echoes.takeSame(message);
    if (same) return this.#echoed(message, "same", now - same.at, now);
    if (data === this.#beatText()) return this.#beat(message, now);
    const changed = this.#echoes.takeChanged(message);
    if (changed) return this.#echoed(message, "changed", now - changed.at, now);
    // The server said it of its own accord.
    this.#record({ direction: "in", ...message, ...bodyOf(message) });
  }

  #echoed(message, echo, trip, now) {
    this.#measurements.trips.add(now, trip);
    this.#measurements.echoes[echo] += 1;
    this.#record({ direction: "in", ...message, ...bodyOf(message), echo, trip });
  }

  #beat(message, now) {
    this.#measurements.beats.add(now);
    this.#record({ direction: "in", ...message, ...bodyOf(message), kind: "beat" });
  }

  #beatText() {
    const said = stepsOf(this.#link.target.url).map((step) => /^say:((?:\\.|[^\\@])*)$/s.exec(step)?.[1]);
    return said.find(Boolean)?.replace(/\\(.)/gs, "$1") ?? this.#settings.heartbeat;
  }

  // What the forms ask for.

  #send(data) {
    if (!this.#link.isOpen) throw new Error("There is no connection.");
    const message = messageOf(data);
    this.#echoes.sent({ ...message, at: performance.now() });
    this.#link.send(data);
    this.#measurements.count("out", message);
    this.#record({ direction: "out", ...message, ...bodyOf(message) });
  }

  async #startBarrage() {
    const number = (id) => byId(id).valueAsNumber;
    const [count, size, interval] = ["many-count", "many-size", "many-interval"].map(number);
    const what = byId("many-what").value;
    const boxed = what === "box" ? await this.#composer.message() : undefined;
    if (boxed === null) return;
    if (what === "box") this.#composer.remember();
    this.#barrage.start({ count, interval, message: (index) => boxed ?? numbered(what, size, index) });
  }

  #noteBarrage() {
    const isBoxed = byId("many-what").value === "box";
    byId("many-size-field").hidden = byId("many-size").disabled = isBoxed;
    const { hidden, value } = byId("body");
    const empty = isBoxed && !hidden && value === "" ? "The box is empty, and so is each message. " : "";
    write("many-note", `${empty}At 0 ms they go out as fast as the connection takes them.`);
  }

  #showBarrage({ sent, count }, isRunning) {
    write("many-progress", `${writeCount(sent)} of ${writeCount(count)}${isRunning ? "" : " sent"}`);
    byId("many-stop").disabled = !isRunning;
  }

  #clear() {
    this.#measurements = new Measurements();
    this.#journal.clear();
    this.#list.clear();
    this.#tick();
  }

  #export() {
    const address = URL.createObjectURL(new Blob(this.#journal.lines(), { type: "application/jsonl" }));
    const name = `echobeat-${new Date().toISOString().replace(/[:.]/g, "-")}.jsonl`;
    make("a", { href: address, download: name }).click();
    // Not at once: the browser reads it after this has returned.
    setTimeout(() => URL.revokeObjectURL(address), 60_000);
  }

  // What is shown.

  #record(record) {
    const { data, at, ...kept } = record;
    this.#list.add(this.#journal.add(kept));
  }

  #tick() {
    if (document.hidden) return;
    const now = performance.now();
    const { trips, beats } = this.#measurements;
    const [median, high] = trips.percentiles(now, [0.5, 0.99]);
    showStateTime(this.#link.state, now);
    showTrips(this.#measurements, { median, high }, this.#echoes.waiting);
    showBeats(beats, now);
    showTraffic(this.#measurements, this.#link.buffered);
    if (this.#barrage.progress) this.#showBarrage(this.#barrage.progress, true);
    this.#chart.draw({ trips, beats, median, high }, now);
  }
}

new Page().start();
