// ---- The form that sends ----

const HINTS = {
  text: "Enter sends · Shift+Enter: new line",
  hex: "Bytes as hex digits, such as 00 ff 7e.",
  base64: "Bytes in base64, such as AP9+.",
  file: "Choose a file, or drop one anywhere.",
};

/** What was sent, which the arrow keys bring back as those of a shell do. */
class History {
  #sent;
  /** The message that is shown, or behind the last one what was being written. */
  #at;
  #draft = null;

  constructor(sent) {
    this.#sent = sent;
    this.#at = sent.length;
  }

  /** Adds a message, and says what there is to keep. */
  add(message) {
    const last = this.#sent.at(-1);
    const isNew = last?.kind !== message.kind || last.body !== message.body;
    if (isNew && message.body.length <= MAX_BODY) this.#sent.push(message);
    if (this.#sent.length > MAX_HISTORY) this.#sent.shift();
    this.#at = this.#sent.length;
    return this.#sent;
  }

  /** The message so many further on in place of `shown`; undefined where there is none. */
  move(by, shown) {
    const to = this.#at + by;
    if (to < 0 || to > this.#sent.length) return undefined;
    if (this.#at === this.#sent.length) this.#draft = shown;
    this.#at = to;
    return this.#sent[to] ?? this.#draft;
  }
}

class Composer {
  #form = byId("send");
  #body = byId("body");
  #file = byId("file");
  /** What each kind had in the field, so that a look at another loses nothing. */
  #drafts = { text: this.#body.value, hex: "00 01 fe ff", base64: "AAH+/w==" };
  #kind = "text";

  /** `memory` has the history. */
  constructor(send, memory) {
    Object.assign(this, { send, memory });
    this.history = new History(memory.history);
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    byId("send-kind").addEventListener("input", ({ target }) => this.#choose(target.value));
    this.#body.addEventListener("keydown", (event) => this.#press(event));
    this.#takeDrops();
    this.#choose("text");
  }

  /** Puts a message into the field. */
  edit({ kind, body }) {
    if (kind === "text") this.#show({ kind, body });
    else if (this.#kind === "base64") this.#show({ kind: "base64", body: base64Of(body) });
    else this.#show({ kind: "hex", body: hexOf(body) });
    this.#body.focus();
  }

  /** What would be sent; null where there is nothing that could be, which is said. */
  async message() {
    this.#complain("");
    try {
      return await this.#data();
    } catch (error) {
      this.#complain(error.message);
      return null;
    }
  }

  /** Has what is in the field brought back by the arrow keys. */
  remember() {
    if (this.#kind !== "file") this.memory.history = this.history.add({ kind: this.#kind, body: this.#body.value });
  }

  #show({ kind, body }) {
    this.#select(kind);
    this.#body.value = body;
    this.#form.dispatchEvent(new Event("input", { bubbles: true }));
  }

  #select(kind) {
    this.#form.elements.kind.value = kind;
    this.#choose(kind);
  }

  #choose(kind) {
    if (this.#kind !== "file") this.#drafts[this.#kind] = this.#body.value;
    this.#kind = kind;
    this.#body.hidden = kind === "file";
    byId("file-field").hidden = kind !== "file";
    if (kind !== "file") this.#body.value = this.#drafts[kind];
    write("send-hint", HINTS[kind]);
    this.#complain("");
  }

  #press(event) {
    if (event.isComposing || event.shiftKey || event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === "Enter") {
      event.preventDefault();
      this.#form.requestSubmit();
    }
    const by = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!by || !this.#isAtEdge(by)) return;
    const message = this.history.move(by, { kind: this.#kind, body: this.#body.value });
    if (!message) return;
    event.preventDefault();
    this.#show(message);
    this.#body.setSelectionRange(message.body.length, message.body.length);
  }

  /** Whether the caret is in the first line, or in the last one: as it is shown, where a long line has several. */
  #isAtEdge(by) {
    const { value, selectionStart, selectionEnd } = this.#body;
    if (selectionStart !== selectionEnd) return false;
    const [before, after] = [value.slice(0, selectionStart), value.slice(selectionEnd)];
    if (by < 0) return !before.includes("\n") && this.#isOneRow(before);
    return !after.includes("\n") && (after === "" || this.#isOneRow(value.slice(value.lastIndexOf("\n") + 1)));
  }

  #isOneRow(line) {
    const style = getComputedStyle(this.#body);
    const context = new OffscreenCanvas(1, 1).getContext("2d");
    context.font = style.font;
    const room = this.#body.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
    return context.measureText(line).width <= room;
  }

  async #submit() {
    const data = await this.message();
    if (data === null) return;
    try {
      this.send(data);
    } catch (error) {
      this.#complain(error.message);
      return;
    }
    this.remember();
  }

  async #data() {
    if (this.#kind === "text") return this.#body.value;
    if (this.#kind === "hex") return parseHex(this.#body.value);
    if (this.#kind === "base64") return parseBase64(this.#body.value);
    const [file] = this.#file.files;
    if (!file) throw new Error("No file is chosen.");
    if (file.size > MAX_FILE) throw new Error(`A file has ${writeBytes(MAX_FILE)} at most here.`);
    return new Uint8Array(await file.arrayBuffer());
  }

  #complain(problem) {
    complain(this.#kind === "file" ? this.#file : this.#body, "send-problem", problem);
  }

  #takeDrops() {
    const mark = (is) => document.body.classList.toggle("dropping", is);
    document.addEventListener("dragover", (event) => {
      if (!event.dataTransfer.types.includes("Files")) return;
      event.preventDefault();
      mark(true);
    });
    document.addEventListener("dragleave", ({ relatedTarget }) => relatedTarget ?? mark(false));
    document.addEventListener("drop", (event) => {
      mark(false);
      if (!event.dataTransfer.files.length) return;
      event.preventDefault();
      this.#select("file");
      this.#file.files = event.dataTransfer.files;
      this.#form.requestSubmit();
    });
  }
}

