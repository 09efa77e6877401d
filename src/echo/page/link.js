// ---- The connection ----

/** A WebSocket that can come back by itself. Every change is told to `handlers.state`. */
class Link {
  static #FIRST_DELAY = 500;
  static #LAST_DELAY = 30_000;
  /** A connection that lived so long was a good one: the next loss begins with a short delay again. */
  static #GOOD = 5_000;

  state = { phase: "idle" };
  target = null;
  #handlers;
  #socket = null;
  #timer = 0;
  #tries = 0;
  #isReconnecting = false;

  constructor(handlers) {
    this.#handlers = handlers;
  }

  get isOpen() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  get buffered() {
    return this.#socket?.bufferedAmount ?? 0;
  }

  set isReconnecting(is) {
    this.#isReconnecting = is;
    if (!is && this.state.phase === "waiting") this.disconnect();
  }

  connect(target) {
    this.target = target;
    this.#tries = 0;
    this.#open();
  }

  /** Leaves what was, for what was asked for is no URL. */
  refuse(problem) {
    this.#leave();
    this.target = null;
    this.#enter({ phase: "invalid", problem });
  }

  send(data) {
    this.#socket.send(data);
  }

  /** Closes, and does not come back. Throws where the code or the reason may not be sent. */
  disconnect(code = 1000, reason = "") {
    if (this.state.phase === "waiting") {
      clearTimeout(this.#timer);
      this.#enter({ ...this.state, phase: "closed", isAsked: true });
    } else if (this.#socket) {
      this.#socket.close(code, reason);
      this.#enter({ ...this.state, phase: "closing" });
    }
  }

  #open() {
    this.#leave();
    const begun = performance.now();
    let socket;
    try {
      socket = new WebSocket(this.target.url, this.target.subprotocols);
    } catch (error) {
      this.#enter({ phase: "invalid", problem: error.message });
      return;
    }
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => this.#handlers.message(data);
    socket.onclose = (event) => this.#closed(event);
    socket.onopen = () => {
      const now = performance.now();
      const { protocol: subprotocol, extensions } = socket;
      this.#enter({ phase: "open", since: now, took: now - begun, subprotocol, extensions });
    };
    this.#enter({ phase: "connecting", tries: this.#tries });
  }

  /** Leaves what was, without a word of it. */
  #leave() {
    clearTimeout(this.#timer);
    if (!this.#socket) return;
    this.#socket.onopen = this.#socket.onmessage = this.#socket.onclose = null;
    this.#socket.close();
    this.#socket = null;
  }

  #closed({ code, reason, wasClean }) {
    const { phase, since } = this.state;
    const lived = since === undefined ? null : performance.now() - since;
    const end = { phase: "closed", code, reason, wasClean, lived, isAsked: phase === "closing" };
    this.#socket = null;
    if (end.isAsked || !this.#isReconnecting) {
      this.#enter(end);
      return;
    }
    this.#tries = lived > Link.#GOOD ? 1 : this.#tries + 1;
    const delay = this.#delay();
    this.#timer = setTimeout(() => this.#open(), delay);
    this.#enter({ ...end, phase: "waiting", tries: this.#tries, until: performance.now() + delay });
  }

  /** Twice as long each time, less a random part, lest all clients of a server come back at once. */
  #delay() {
    const whole = Math.min(Link.#FIRST_DELAY * 2 ** (this.#tries - 1), Link.#LAST_DELAY);
    return whole * (0.5 + Math.random() / 2);
  }

  #enter(state) {
    this.state = state;
    this.#handlers.state(state);
  }
}

/** Sends many messages, without filling the socket's buffer or holding the page up. */
class Barrage {
  /** Time that the page may be held up at once, in milliseconds. */
  static #TURN = 8;
  #timer = 0;
  #plan = null;

  constructor(link, send, show) {
    Object.assign(this, { link, send, show });
  }

  /** How many are sent, of how many; null where none is under way. */
  get progress() {
    return this.#plan;
  }

  /** `plan` has a `count`, the `interval` between two in milliseconds, and what the `message` with a number is. */
  start(plan) {
    this.stop();
    this.#plan = { ...plan, sent: 0, begun: performance.now() };
    this.show(this.#plan, true);
    this.#turn();
  }

  stop() {
    clearTimeout(this.#timer);
    if (this.#plan) this.show(this.#plan, false);
    this.#plan = null;
  }

  #turn() {
    const plan = this.#plan;
    const turnEnds = performance.now() + Barrage.#TURN;
    while (this.#isDue(plan) && performance.now() < turnEnds) {
      this.send(plan.message(plan.sent));
      plan.sent += 1;
    }
    if (plan.sent === plan.count || !this.link.isOpen) {
      this.stop();
      return;
    }
    const next = plan.begun + plan.sent * plan.interval - performance.now();
    this.#timer = setTimeout(() => this.#turn(), Math.max(next, 0));
  }

  #isDue({ sent, count, begun, interval }) {
    const isTime = performance.now() >= begun + sent * interval;
    return sent < count && isTime && this.link.isOpen && this.link.buffered < MAX_BUFFERED;
  }
}

/** A message of `size` bytes with its number in front: in 8 bytes, big-endian, or in decimal digits. */
function numbered(what, size, number) {
  if (what === "text") return `${number} `.padEnd(size, "echobeat ").slice(0, size);
  const bytes = Uint8Array.from({ length: size }, (_, index) => index);
  if (size >= 8) new DataView(bytes.buffer).setBigUint64(0, BigInt(number));
  return bytes;
}

