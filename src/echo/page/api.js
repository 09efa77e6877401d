// ---- The API of the server that served the page, as docs/api.md has it ----

/** Milliseconds until an answer must be there, beside what it waits for; and of silence in which a stream is dead. */
const PATIENCE = 10_000;
const SILENCE = 40_000;

/** An answer that refuses, with its sentence; status 0 where there was no answer. */
class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

class Api {
  #prefix = location.pathname.replace(/\/$/, "");
  /** In the memory of this page alone: others may be on the same origin under other paths. */
  #token = "";
  needsToken = document.documentElement.dataset.api === "token";

  /** Takes a token. Throws where none can be. */
  set token(token) {
    if (!/^[\x21-\x7e]+$/.test(token)) throw new Error("A token has visible characters of ASCII, and no spaces.");
    this.#token = token;
    this.needsToken = false;
  }

  /** The JSON of an answer and its `status`. A wait that ends in vain, 408, is an answer too. */
  async ask(method, path, { body, wait = 0 } = {}) {
    const signal = AbortSignal.timeout(wait + PATIENCE);
    const answer = await this.#fetch(path, { method, body, signal });
    const json = await answer.json().catch(() => ({}));
    return { ...json, status: answer.status };
  }

  /**
   * The events of the server as they come, those after the number `last` where there is one. The first is `begun`.
   * Throws when the stream is cut.
   */
  async *events(last, signal) {
    const headers = { Accept: "text/event-stream", ...(last && { "Last-Event-ID": last }) };
    const silence = new AbortController();
    let timer = 0;
    const listen = () => {
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(new Error("The server has been silent.")), SILENCE);
    };
    try {
      listen();
      const answer = await this.#fetch("/events?messages=off", { headers, signal: AbortSignal.any([signal, silence.signal]) });
      yield { name: "begun" };
      yield* eventsOf(answer.body, listen);
    } finally {
      clearTimeout(timer);
    }
  }

  /** An answer that does not refuse. */
  async #fetch(path, { headers, ...options }) {
    if (this.needsToken) throw new ApiError(401, "The API takes a token.");
    const authorization = this.#token && { Authorization: `Bearer ${this.#token}` };
    const request = { cache: "no-store", ...options, headers: { ...headers, ...authorization } };
    const answer = await fetch(this.#prefix + path, request).catch(() => {
      throw new ApiError(0, options.signal.aborted ? "The server did not answer in time." : "The server does not answer.");
    });
    if (answer.ok || answer.status === 408) return answer;
    if (answer.status === 401) this.needsToken = true;
    const { error } = await answer.json().catch(() => ({}));
    throw new ApiError(answer.status, error ?? `The server answers ${answer.status}.`);
  }
}

/** A path that has a name in it. Throws where browsers would take the name for a step in the path. */
function pathOf(kind, name) {
  if (name === "." || name === "..") throw new Error(`A browser cannot ask for “${name}”.`);
  return `/${kind}/${encodeURIComponent(name)}`;
}

/** Server-sent events, as the HTML Standard has them: `id`, `name` and `data`. */
async function* eventsOf(stream, heard) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let [rest, event] = ["", {}];
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      heard();
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      if (rest.length > MAX_EVENT) throw new Error("The server sends an event that is too long.");
      for (const line of lines) {
        if (line === "") {
          if (event.data !== undefined) yield event;
          event = {};
        } else {
          const [, field, text] = /^([^:]*):? ?(.*)$/s.exec(line);
          if (field) event[field === "event" ? "name" : field] = text;
        }
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** The events of the server, again and again: whenever the stream is cut, it begins anew a little later. */
class Feed {
  static #FIRST_DELAY = 1_000;
  static #LAST_DELAY = 30_000;
  #run = null;
  #timer = 0;
  #tries = 0;
  #last = null;

  /** `handlers.event` is given each event, and `handlers.cut` why there are no more: it says whether to try again. */
  constructor(api, handlers) {
    Object.assign(this, { api, handlers });
  }

  start() {
    clearTimeout(this.#timer);
    if (!this.#run) this.#follow();
  }

  stop() {
    clearTimeout(this.#timer);
    this.#run?.abort();
    this.#run = null;
  }

  async #follow() {
    const run = (this.#run = new AbortController());
    let problem = new ApiError(0, "The server has ended its events.");
    try {
      for await (const event of this.api.events(this.#last, run.signal)) {
        if (this.#run !== run) return;
        this.#tries = 0;
        this.#last = event.id ?? this.#last;
        this.handlers.event(event);
      }
    } catch (error) {
      problem = error;
    }
    if (this.#run !== run) return;
    this.#run = null;
    if (this.handlers.cut(problem)) this.#timer = setTimeout(() => this.start(), this.#delay());
  }

  #delay() {
    const whole = Math.min(Feed.#FIRST_DELAY * 2 ** this.#tries++, Feed.#LAST_DELAY);
    return whole * (0.5 + Math.random() / 2);
  }
}

