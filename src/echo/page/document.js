// ---- The document ----

const byId = (id) => document.getElementById(id);

/** An element with properties, and with children that are elements or texts. */
function make(tag, properties, ...children) {
  const { dataset, ...others } = properties;
  const element = Object.assign(document.createElement(tag), others);
  Object.assign(element.dataset, dataset);
  element.append(...children);
  return element;
}

/** Sets a text, unless it is there: an unchanged document needs no layout. */
function write(id, text) {
  const element = byId(id);
  if (element.textContent !== text) element.textContent = text;
}

/** Says what is wrong with a field, or that nothing is. */
function complain(field, problemId, problem) {
  field.setAttribute("aria-invalid", String(problem !== ""));
  write(problemId, problem);
}

/**
 * Runs `draw` once in a while, if it is asked to. Not in the next frame: an echo that comes meanwhile would wait until
 * what was sent is drawn, and the drawing be measured with it.
 */
function batched(draw) {
  let isAsked = false;
  return () => {
    if (isAsked) return;
    isAsked = true;
    setTimeout(() => {
      isAsked = false;
      draw();
    }, 80);
  };
}

/** Runs `react` once nothing has happened for a moment. */
function settled(react) {
  let timer = 0;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(react, 300);
  };
}

async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Pages over plain HTTP from another machine have no clipboard but this.
    const field = make("textarea", { value: text });
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
    button.focus();
  }
  const label = button.textContent;
  if (label === "Copied") return;
  button.textContent = "Copied";
  setTimeout(() => (button.textContent = label), 1200);
}

// ---- The state, at a glance ----

const CLOSED_TONES = new Map([[1000, "none"], [1005, "none"]]);

function closedAs({ code, reason, wasClean, lived, isAsked }) {
  if (lived === null && isAsked) return { tone: "none", title: "Not connected", note: "given up" };
  if (lived === null) {
    const note = "no server there, or it refused the handshake";
    return { tone: "bad", title: `Failed ${code}`, note };
  }
  const said = reason ? `, “${reason}”` : "";
  const note = `${meaningOf(code)}${said} · ${wasClean ? "clean" : "not clean"} · after ${writeSpan(lived)}`;
  return { tone: wasClean ? CLOSED_TONES.get(code) ?? "warn" : "bad", title: `Closed ${code}`, note };
}

/** An extension by its name, and whether the server's windows last from message to message. */
function extensionInShort(text) {
  const [name, ...parameters] = text.split(";").map((part) => part.trim());
  const isReset = parameters.includes("server_no_context_takeover");
  return name === "permessage-deflate" && !isReset ? `${name} with takeover` : name;
}

/** The tone, the title and the note for a state of the link. */
function described(state) {
  switch (state.phase) {
    case "idle":
      return { tone: "none", title: "Not connected", note: "" };
    case "invalid":
      return { tone: "bad", title: "Not connected", note: state.problem };
    case "connecting":
      return { tone: "warn", title: "Connecting", note: state.tries ? `try ${state.tries}` : "" };
    case "open": {
      const subprotocol = state.subprotocol && `subprotocol ${state.subprotocol}`;
      const agreed = [subprotocol, extensionInShort(state.extensions)].filter(Boolean);
      const note = [`opened in ${writeTime(state.took)}`, ...agreed].join(" · ");
      return { tone: "good", title: "Connected", note };
    }
    case "closing":
      return { tone: "warn", title: "Closing", note: "until the server answers" };
    case "waiting": {
      const { title, note } = closedAs(state);
      return { tone: "warn", title, note: `${note} · waits for try ${state.tries}` };
    }
    default:
      return closedAs(state);
  }
}

/** The time that a state lasts, shown apart from it: a state is read out whenever it changes. */
function showStateTime({ phase, since, until }, now) {
  if (phase === "open") write("state-time", `for ${writeSpan(now - since)}`);
  else if (phase === "waiting") write("state-time", `in ${(Math.max(until - now, 0) / 1000).toFixed(1)} s`);
  else write("state-time", "");
}

function showState(state) {
  const { tone, title, note } = described(state);
  byId("state").dataset.tone = tone;
  write("state-title", title);
  write("state-note", note);
  document.title = `${title} · echobeat`;
  const isGone = ["idle", "invalid", "closed"].includes(state.phase);
  const isOpen = state.phase === "open";
  byId("connect").textContent = isOpen ? "Connect again" : "Connect";
  byId("connect").classList.toggle("main", !isOpen);
  byId("disconnect").disabled = isGone || state.phase === "closing";
  for (const id of ["close-button", "send-button", "many-start"]) byId(id).disabled = !isOpen;
}

