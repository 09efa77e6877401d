// ---- The forms that push, and that close from the server ----

/** The time and an answer: read out again even where the answer is the same. */
const answered = (id, text) => write(id, text && `${writeClock(Date.now()).slice(0, 8)} · ${text}`);

/** Pushes texts. */
class PushForm {
  #to = byId("push-to");
  #topic = byId("push-topic");

  constructor(api, chosen) {
    Object.assign(this, { api, chosen });
    this.#to.addEventListener("input", () => this.#note());
    byId("push").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#push();
    });
    this.show(new Set());
  }

  /** Has a push go to the chosen connection, and asks for its text. */
  open() {
    this.#to.value = "one";
    this.#note();
    byId("push-card").open = true;
    byId("push-body").focus();
  }

  show(topics) {
    const names = [...topics].sort();
    const list = byId("push-topics");
    if (names.join("\n") !== [...list.children].map(({ value }) => value).join("\n")) {
      list.replaceChildren(...names.map((value) => make("option", { value })));
    }
    this.#note();
  }

  #note() {
    const { value: to } = this.#to;
    byId("push-topic-field").hidden = this.#topic.disabled = to !== "topic";
    const chosen = this.chosen();
    const one = chosen ? `To ${visible(chosen.id)}.` : "Choose a connection in the list above.";
    const topic = "A client joins a topic by its URL: ?topic=NAME, once for each.";
    write("push-note", { all: "", topic, one }[to]);
  }

  async #push() {
    complain(this.#topic, "push-problem", "");
    answered("push-answer", "");
    try {
      const answer = await this.api.ask("POST", this.#path(), { body: byId("push-body").value });
      answered("push-answer", deliveryInWords(answer));
    } catch (error) {
      write("push-problem", error.message);
    }
  }

  #path() {
    if (this.#to.value === "all") return "/connections";
    if (this.#to.value === "one") return chosenPath(this.chosen());
    if (this.#topic.value) return pathOf("topics", this.#topic.value);
    complain(this.#topic, "push-problem", "A topic has a name.");
    throw new Error("A topic has a name.");
  }
}

const deliveryInWords = ({ status, delivered, skipped }) =>
  status === 202 ? "Nobody was there." : `Delivered to ${writeCount(delivered)}, skipped ${writeCount(skipped)}.`;

function chosenPath(chosen) {
  if (!chosen) throw new Error("Choose a connection in the list above.");
  return pathOf("connections", chosen.id);
}

/** Has the server end the chosen connection. */
class EndForm {
  constructor(api, chosen) {
    Object.assign(this, { api, chosen });
    const query = () => new URLSearchParams({ code: byId("end-code").value, reason: byId("end-reason").value });
    byId("end").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#end(query(), "Asked to close");
    });
    byId("end-fin").addEventListener("click", () => this.#end("how=fin", "Cut by FIN:"));
    byId("end-rst").addEventListener("click", () => this.#end("how=rst", "Cut by RST:"));
    this.show();
  }

  /** Asks how to close the chosen connection. */
  open() {
    byId("end-card").open = true;
    byId("end-code").focus();
  }

  show() {
    const chosen = this.chosen();
    write("end-note", chosen ? `Ends ${visible(chosen.id)}.` : "Choose a connection in the list above.");
  }

  async #end(query, done) {
    write("end-problem", "");
    answered("end-answer", "");
    try {
      const chosen = this.chosen();
      await this.api.ask("DELETE", `${chosenPath(chosen)}?${query}`);
      answered("end-answer", `${done} ${visible(chosen.id)}.`);
    } catch (error) {
      write("end-problem", error.message);
    }
  }
}

