// ---- The panel of the server's side ----

/** Milliseconds between two looks at the counts of messages, which no event tells. */
const LOOK = 2_000;

/** Lists the server's connections as they come and go, and lets one be chosen. */
class Panel {
  #roster = new Roster();
  #members = new Map();
  #list = byId("roster");
  #chosen = null;
  #isLooking = false;
  #draw = batched(() => this.#flush());
  #feed;

  /** `own` knows which connection is the page's. */
  constructor(api, own) {
    Object.assign(this, { api, own });
    this.#feed = new Feed(api, { event: (event) => this.#heard(event), cut: (problem) => this.#cut(problem) });
    this.push = new PushForm(api, () => this.#chosen);
    this.end = new EndForm(api, () => this.#chosen);
    byId("token-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#takeToken();
    });
    // A stream takes one of the few connections that a browser has to a server for all its tabs.
    document.addEventListener("visibilitychange", () => this.#watch());
    setInterval(() => this.#look(), LOOK);
  }

  start() {
    byId("server").hidden = false;
    if (this.api.needsToken) this.#askForToken("");
    else this.#watch();
  }

  /** Shows the rows anew, as when the page has another connection. */
  refresh() {
    this.#draw();
  }

  /** Shows how a connection ended. */
  add(connection) {
    const { id, peer, opened_at, closed_at } = connection;
    const lived = writeSpan(Date.parse(closed_at) - Date.parse(opened_at));
    const head = make("p", {}, make("bdi", { className: "mono" }, visible(id)), " ", make("span", { className: "soft" }, `${peer} · after ${lived}`));
    byId("ended").prepend(make("li", {}, head, make("p", {}, endingOf(connection, CLIENT))));
    if (byId("ended").childElementCount > MAX_ENDED) byId("ended").lastElementChild.remove();
    byId("ended-card").hidden = false;
  }

  // The events.

  #watch() {
    if (document.hidden) this.#feed.stop();
    else if (!this.api.needsToken) this.#feed.start();
  }

  #heard({ name, data }) {
    if (name === "begun") return this.#listen();
    if (name === "dropped") return this.#relist();
    if (name === "opened") this.#roster.opened(JSON.parse(data));
    if (name === "closed") this.#close(JSON.parse(data));
    this.#draw();
  }

  #close(connection) {
    this.#roster.closed(connection);
    this.add(connection);
    if (this.#roster.isShort) this.#relist();
  }

  #listen() {
    for (const id of ["roster", "push-section", "end-section"]) byId(id).hidden = false;
    write("server-problem", "");
    write("server-note", "");
    this.#relist();
    this.own.seek().then(this.#draw);
  }

  /** Says why there are no more events, and whether to try again. */
  #cut({ status, message }) {
    if (status === 401) {
      this.#askForToken("The server does not take this token.");
    } else if (status === 404) {
      // The server that is there now has no API.
      for (const id of ["server", "push-section", "end-section"]) byId(id).hidden = true;
    } else if (status === 403) {
      write("server-problem", message);
    } else {
      write("server-note", `${message} Trying again …`);
    }
    return ![401, 403, 404].includes(status);
  }

  async #relist() {
    this.#roster.willList();
    try {
      const { connections, total } = await this.#connections(MAX_TRACKED);
      this.#roster.listed(connections, total);
    } catch (error) {
      write("server-note", error.message);
    }
    this.#draw();
  }

  /** The newest of the open connections, oldest first, how many there are, and whether these are all. */
  async #connections(limit) {
    const answer = await this.api.ask("GET", `/connections?state=open&order=newest&limit=${limit}`);
    const { connections, next = null, total = connections.length } = answer;
    return { connections: connections.toReversed(), total, isWhole: next === null };
  }

  /** Asks for the counts of messages of what is shown. */
  async #look() {
    const isSeen = !document.hidden && byId("server-card").open && !byId("roster").hidden;
    const shown = this.#roster.newest;
    if (!isSeen || this.#isLooking || !shown.length) return;
    this.#isLooking = true;
    try {
      // More than are shown, for those that have opened since.
      const { connections, isWhole } = await this.#connections(2 * MAX_SHOWN);
      const isListed = ({ number }) => isWhole || number > connections[0].number;
      this.#roster.updated(connections, new Set(shown.filter(isListed).map(keyOf)));
    } catch {
      // The feed says what is wrong.
    }
    this.#isLooking = false;
    this.#draw();
  }

  // The token.

  #askForToken(problem) {
    const hasFailed = problem !== "" && byId("token").value !== "";
    byId("token-form").hidden = false;
    for (const id of ["roster", "push-section", "end-section"]) byId(id).hidden = true;
    write("server-count", "");
    write("roster-more", "");
    complain(byId("token"), "server-problem", hasFailed ? problem : "");
  }

  #takeToken() {
    try {
      this.api.token = byId("token").value.trim();
    } catch (error) {
      complain(byId("token"), "server-problem", error.message);
      return;
    }
    byId("token-form").hidden = true;
    complain(byId("token"), "server-problem", "");
    byId("server-card").querySelector("summary").focus();
    this.#watch();
  }

  // The rows.

  #flush() {
    if (this.#list.hidden) return;
    const { newest, count } = this.#roster;
    const holders = new Map(newest.toReversed().map((connection) => [connection.id, keyOf(connection)]));
    this.#drop(new Set(newest.map(keyOf)));
    let before = this.#list.querySelector("legend");
    for (const connection of newest) {
      const member = this.#member(connection);
      if (before.nextElementSibling !== member.element) before.after(member.element);
      before = member.element;
      member.show(connection, this.#marks(connection, holders));
    }
    write("server-count", `${writeCount(count)} open`);
    const more = count - newest.length;
    write("roster-more", more > 0 ? `These are the newest; ${writeCount(more)} more are open.` : count ? "" : "There is none.");
    this.push.show(this.#roster.topics);
    this.end.show();
  }

  #member(connection) {
    const key = keyOf(connection);
    if (!this.#members.has(key)) {
      const choose = () => this.#choose(connection);
      this.#members.set(key, new Member(connection, { choose, push: () => this.push.open(), close: () => this.end.open() }));
    }
    return this.#members.get(key);
  }

  #marks(connection, holders) {
    const key = keyOf(connection);
    const isLast = holders.get(connection.id) === key;
    return {
      isChosen: this.#chosen?.key === key,
      isOwn: this.own.is(connection),
      problem: connection.state !== "open" ? "closing" : isLast ? "" : "a later one has its name",
    };
  }

  #choose(connection) {
    this.#chosen = { id: connection.id, key: keyOf(connection) };
    this.#flush();
  }

  /** Removes the rows of connections that are not shown any more. The focus goes to the row that takes its place. */
  #drop(kept) {
    if (this.#chosen && !kept.has(this.#chosen.key)) this.#chosen = null;
    for (const [key, member] of this.#members) {
      if (kept.has(key)) continue;
      const { isFocused, element } = member;
      const next = element.nextElementSibling ?? element.previousElementSibling;
      element.remove();
      this.#members.delete(key);
      if (isFocused) (next?.querySelector("input") ?? byId("server-card").querySelector("summary")).focus();
    }
  }
}

