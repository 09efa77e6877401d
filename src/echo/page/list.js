// ---- The list ----

/** The rows of the journal's last records, those that the filter lets through. */
class List {
  #list = byId("list");
  #pending = [];
  #stop = null;
  #isPaused = false;
  #missed = 0;
  /** Rows that came while the end of the list was out of sight. */
  #unseen = 0;
  #filter = new Filter("");
  #draw = batched(() => this.#flush());

  constructor(journal, actions) {
    Object.assign(this, { journal, actions });
    for (const id of ["filter", "show-out", "show-in", "show-beat"]) {
      byId(id).addEventListener("input", () => this.#choose());
    }
    byId("newer").addEventListener("click", () => this.#toEnd());
    this.#list.addEventListener("scroll", () => this.#isAtEnd && this.#seen(0));
    byId("pause").addEventListener("click", () => this.#pause(!this.#isPaused));
    this.#list.addEventListener("keydown", (event) => this.#move(event));
    this.#list.addEventListener("focusin", ({ target }) => this.#stopAt(target.closest("summary")));
  }

  add(record) {
    if (!this.#lets(record)) return;
    if (this.#isPaused) {
      this.#missed += 1;
    } else {
      this.#pending.push(record);
      // A browser lets timers wait while the page is not seen.
      if (this.#pending.length > MAX_ROWS) this.#pending.shift();
    }
    this.#draw();
  }

  /** Shows the last records anew. */
  refresh() {
    this.#list.replaceChildren();
    this.#pending = this.journal.records.filter((record) => this.#lets(record)).slice(-MAX_ROWS);
    this.#flush();
    this.#toEnd();
  }

  clear() {
    this.#missed = 0;
    this.refresh();
  }

  #choose() {
    try {
      this.#filter = new Filter(byId("filter").value);
      complain(byId("filter"), "filter-problem", "");
    } catch (error) {
      this.#giveUp(error.message);
    }
    this.refresh();
  }

  #giveUp(problem) {
    this.#filter = new Filter("");
    complain(byId("filter"), "filter-problem", problem);
  }

  #lets(record) {
    const { kind, direction } = record;
    if (kind === "beat" && !byId("show-beat").checked) return false;
    if (kind !== "beat" && kind !== "event" && !byId(`show-${direction}`).checked) return false;
    try {
      return this.#filter.lets(record);
    } catch (error) {
      this.#giveUp(error.message);
      return true;
    }
  }

  #pause(isPaused) {
    this.#isPaused = isPaused;
    byId("pause").setAttribute("aria-pressed", String(isPaused));
    this.#missed = 0;
    if (isPaused) this.#note();
    else this.refresh();
  }

  get #isAtEnd() {
    return this.#list.scrollHeight - this.#list.scrollTop - this.#list.clientHeight < 40;
  }

  #toEnd() {
    this.#list.scrollTop = this.#list.scrollHeight;
    this.#seen(0);
  }

  #seen(unseen) {
    this.#unseen = unseen;
    byId("newer").hidden = unseen === 0;
    write("newer", `${writeCount(unseen)} new ↓`);
  }

  #flush() {
    const isAtEnd = this.#isAtEnd;
    this.#list.append(...this.#pending.map((record) => row(record, this.actions)));
    const unseen = this.#unseen + this.#pending.length;
    this.#pending = [];
    while (this.#list.childElementCount > MAX_ROWS) this.#list.firstElementChild.remove();
    this.#note();
    if (isAtEnd) this.#toEnd();
    else this.#seen(unseen);
    this.#filter.rest();
    if (!this.#stop?.isConnected) this.#stopAt(this.#list.querySelector("summary"));
  }

  #note() {
    const shown = this.#list.childElementCount;
    const { records, dropped } = this.journal;
    byId("list").hidden = shown === 0;
    byId("empty").hidden = shown > 0;
    const missed = this.#missed ? ` (${writeCount(this.#missed)} new)` : "";
    write("pause", this.#isPaused ? `Resume${missed}` : "Pause");
    const parts = [`The last ${writeCount(shown)} rows of ${writeCount(records.length)} that are kept`];
    if (dropped) parts.push(`${writeCount(dropped)} older ones are not`);
    byId("kept").hidden = shown < MAX_ROWS && !dropped;
    write("kept", `${parts.join("; ")}.`);
  }

  /** One row is reached with Tab, the others from there with the arrow keys: hundreds of stops are no way through. */
  #stopAt(summary) {
    if (!summary) return;
    if (this.#stop) this.#stop.tabIndex = -1;
    this.#stop = summary;
    summary.tabIndex = 0;
  }

  #move(event) {
    const entry = event.target.closest("summary")?.closest("li");
    const to = entry && {
      ArrowDown: entry.nextElementSibling, ArrowUp: entry.previousElementSibling,
      Home: this.#list.firstElementChild, End: this.#list.lastElementChild,
    }[event.key];
    if (!to) return;
    event.preventDefault();
    to.querySelector("summary").focus();
  }
}

