// ---- A row of the panel ----

const writeTimeOfDay = (time) => writeClock(Date.parse(time)).slice(0, 8);

/** The row of an open connection: a radio button, which chooses it, and its actions while it is chosen. */
class Member {
  #radio;
  #parts = {};
  #actions;

  constructor(connection, handlers) {
    this.#radio = make("input", { type: "radio", name: "connection", value: keyOf(connection) });
    this.#radio.addEventListener("input", () => handlers.choose(connection));
    this.#actions = make("div", { className: "row actions", hidden: true }, ...["Push", "Close"].map((label) => {
      const button = make("button", { type: "button", ariaLabel: `${label}: ${visible(connection.id)}` }, `${label} …`);
      button.addEventListener("click", () => handlers[label.toLowerCase()]());
      return button;
    }));
    const part = (name, className) => (this.#parts[name] = make("span", { className }));
    const title = make("span", { className: "name" }, make("bdi", { className: "mono" }, visible(connection.id)), " ", part("badge", "badge"));
    const whole = wholePath(connection);
    const path = make("span", { className: "soft path", title: whole }, whole.length > MAX_PATH ? `${whole.slice(0, MAX_PATH)} …` : whole);
    const label = make("label", {}, this.#radio, title, path, part("topics", "soft"), part("traffic", "soft"));
    this.element = make("div", { className: "member" }, label, this.#actions);
    this.#write("topics", topicsInWords(connection));
  }

  get isFocused() {
    return this.element.contains(document.activeElement);
  }

  /** Shows what has changed. Without a `problem` it can be chosen. */
  show({ peer, received, sent, opened_at }, { isChosen, isOwn, problem }) {
    const counts = `${writeCount(received.messages)} in · ${writeCount(sent.messages)} out`;
    this.#write("traffic", [peer, counts, `since ${writeTimeOfDay(opened_at)}`, problem].filter(Boolean).join(" · "));
    this.#write("badge", isOwn ? "this page" : "");
    this.#parts.badge.hidden = !isOwn;
    this.#radio.disabled = problem !== "";
    this.#radio.checked = isChosen;
    this.#actions.hidden = !isChosen;
  }

  focus() {
    this.#radio.focus();
  }

  #write(part, text) {
    if (this.#parts[part].textContent !== text) this.#parts[part].textContent = text;
  }
}

/** The path and the query, but for what is shown besides. */
function wholePath({ path, query }) {
  const others = splitUrl(`?${query ?? ""}`).parameters.filter((parameter) => !/^(?:id|topic)=/.test(parameter));
  return visible(path + (others.length ? `?${others.join("&")}` : ""));
}

const topicsInWords = ({ topics }) =>
  topics.length ? `${topics.length > 1 ? "topics" : "topic"} ${topics.map(visible).join(", ")}` : "";

