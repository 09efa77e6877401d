// ---- The form that connects ----

/** The fields that say where to, and what is said below them. */
class Destination {
  #url = byId("url");
  #subprotocols = byId("subprotocols");
  #named = byId("named");
  #path = document.documentElement.dataset.path;
  #hasFaults = document.documentElement.dataset.faults === "true";
  #builder = new Builder({ problem: (typed) => this.#stepsProblem(typed), changed: () => this.#edited() });
  #check = settled(() => this.#checkSteps());

  /** `connectedTo` says to which URL there is a connection, or null; `own` names connections, if the server lists them. */
  constructor(memory, connectedTo, own) {
    Object.assign(this, { memory, connectedTo, own });
    byId("named-field").hidden = !own;
    this.#named.checked = memory.text("named") !== "no";
    this.#named.addEventListener("input", () => this.#nameOrNot());
    for (const field of [this.#url, this.#subprotocols]) field.addEventListener("input", () => this.#edited());
    byId("own-url").addEventListener("click", () => this.#fill(this.#withName(this.#ownUrl), ""));
    byId("copy-url").addEventListener("click", ({ target }) => copy(this.#whole(), target));
    byId("copy-curl").addEventListener("click", ({ target }) => copy(byId("curl-line").textContent, target));
  }

  /** A link that was followed says where to; a page that is loaded again goes on where it was. */
  restore() {
    const isAgain = ["reload", "back_forward"].includes(performance.getEntriesByType("navigation")[0]?.type);
    const [kept, linked] = [this.memory.text("url"), linkedUrl(location, this.#path)];
    const url = isAgain ? kept ?? linked : linked ?? kept;
    // A name that a page had made was of that page alone.
    this.#fill(this.#withName(Own.unnamed(url ?? this.#ownUrl)), this.memory.text("subprotocols") ?? "");
  }

  /** Where to connect, which the field then shows whole. Throws a sentence where that is nowhere. */
  take() {
    const target = this.#target(this.#url.value);
    this.#fill(target.url, this.#subprotocols.value);
    return target;
  }

  /** Says what the URL means, and to which other there is a connection. */
  note() {
    const [url, connected] = [this.#whole(), this.connectedTo()];
    const other = connected && connected !== url ? `Still connected to ${connected}` : "";
    write("connection-note", [readingOf(this.#url.value, url, this.#ownUrl), other].filter(Boolean).join(" · "));
  }

  complain(problem, curl = "") {
    complain(this.#url, "connection-problem", problem);
    byId("curl").hidden = curl === "";
    write("curl-line", curl);
  }

  get #ownUrl() {
    return ownUrl(location, this.#path);
  }

  #target(typed) {
    const subprotocols = this.#subprotocols.value.split(/[\s,]+/).filter(Boolean);
    return { url: this.#withName(targetUrl(typed, this.#ownUrl)), subprotocols };
  }

  /** The URL with a name for its connection, if it is of this server, and shall have one. */
  #withName(url) {
    return this.own && this.#named.checked && isOfThisServer(url) ? this.own.named(url) : url;
  }

  #nameOrNot() {
    this.memory.keep({ named: this.#named.checked ? "yes" : "no" });
    this.#fill(this.#withName(Own.unnamed(this.#url.value)), this.#subprotocols.value);
  }

  /** The URL as it would be connected to, or as it was typed if it cannot be. */
  #whole() {
    try {
      return targetUrl(this.#url.value, this.#ownUrl);
    } catch {
      return this.#url.value;
    }
  }

  get #isOwn() {
    try {
      return placeOf(this.#target(this.#url.value)) !== null;
    } catch {
      return false;
    }
  }

  #fill(url, subprotocols) {
    [this.#url.value, this.#subprotocols.value] = [url, subprotocols];
    this.#edited();
  }

  #edited() {
    this.memory.keep({ url: this.#url.value, subprotocols: this.#subprotocols.value });
    this.#builder.show(!this.#hasFaults && this.#isOwn);
    this.complain("");
    this.#check();
  }

  /** Says what is wrong with the steps in the URL, once its writer rests, unless more is wrong with it. */
  async #checkSteps() {
    this.note();
    const { value } = this.#url;
    const problem = await this.#stepsProblem(value);
    const isFree = byId("connection-problem").textContent === "";
    if (problem && isFree && this.#url.value === value) this.complain(problem);
  }

  /** What the server says of the steps of a URL: nothing where they are right, null where it cannot be asked. */
  async #stepsProblem(typed) {
    if (!stepsOf(typed).length) return "";
    try {
      const verdict = await verdictOn(this.#target(typed));
      return verdict && (verdict.problem ?? "");
    } catch {
      // Connecting says what is wrong with the URL.
      return null;
    }
  }
}

