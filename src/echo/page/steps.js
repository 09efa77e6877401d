// ---- What close codes mean (RFC 6455, section 7.4, and IANA's registry) ----

const CLOSE_CODES = new Map([
  [1000, "normal closure"],
  [1001, "going away: a server shuts down, or a page is left"],
  [1002, "protocol error"],
  [1003, "unsupported data: a kind of message that the peer does not take"],
  [1005, "no code: the Close had none"],
  [1006, "abnormal closure: the connection ended without a Close"],
  [1007, "invalid data: text that is not UTF-8, for one"],
  [1008, "policy violation"],
  [1009, "message too big"],
  [1010, "an extension is missing"],
  [1011, "internal error of the server"],
  [1012, "service restart"],
  [1013, "try again later"],
  [1014, "bad gateway"],
  [1015, "TLS handshake failed"],
  [3000, "unauthorized"],
  [3003, "forbidden"],
  [3008, "timeout"],
]);

function meaningOf(code) {
  if (CLOSE_CODES.has(code)) return CLOSE_CODES.get(code);
  if (code >= 4000 && code <= 4999) return "private to the application";
  if (code >= 3000 && code <= 3999) return "for libraries and frameworks, by registration";
  return "a code that RFC 6455 does not know";
}

// ---- The steps of `do`: one row each ----

/** Some of the connections: the first two with this URL, or one in five. */
const SHARES = ["2x", "20%"];

const TIMES = ["5s", "3msg", ...SHARES];

/**
 * What the builder offers; whether it is right, and which steps go together, the server says. `values` are examples,
 * the first of which the field shows: without it a step has no value. `times` are examples of what may stand behind
 * an `@`.
 */
const STEPS = [
  { name: "beat", values: ["500ms", "off"], times: SHARES, help: "The heart beat's interval." },
  { name: "say", values: ["hello"], times: TIMES, help: "What the heart beat says; with a time, a message of its own." },
  { name: "reply", values: ["ping=pong"], times: SHARES, help: "Answers a text with another, in place of the echo." },
  { name: "echo", values: ["off"], times: SHARES, help: "Reads, and answers nothing." },
  { name: "delay", values: ["200ms", "50ms..200ms"], times: SHARES, help: "Every echo comes later by that time, or by a random one in the range; order is kept." },
  { name: "rate", values: ["64KiB"], times: SHARES, help: "Writes at most so many bytes a second." },
  { name: "drop", values: ["10%"], times: SHARES, help: "Drops so many of the echoes, at random." },
  { name: "duplicate", values: ["100%", "10%"], times: SHARES, help: "Sends so many of the echoes twice." },
  { name: "reorder", values: ["100%", "10%"], times: SHARES, help: "Sends so many of the echoes after the next one, or after a second." },
  { name: "fragment", values: ["1KiB"], times: SHARES, help: "All that it sends is cut into fragments of that size." },
  { name: "ping", values: ["1s"], times: SHARES, help: "Protocol pings at that interval." },
  { name: "close", values: ["4001:bye", "1000", "1011:oops", "1013", "none"], times: TIMES, help: "Close with any code from 0 to 65535 and a reason, or with none." },
  { name: "fin", times: TIMES, help: "Ends TCP with FIN, and no Close." },
  { name: "rst", times: TIMES, help: "Ends TCP with RST, and no Close." },
  { name: "deaf", times: TIMES, help: "Stops reading, while heart beats go on: what is sent stays buffered." },
  { name: "stall", times: TIMES, help: "A black hole: neither reads nor writes, and TCP stays open." },
  { name: "noreply", times: SHARES, help: "Never answers the client's Close." },
  { name: "burst", values: ["1000x1KiB"], times: TIMES, help: "Pushes so many binary messages of that size, numbered in their first 8 bytes." },
  { name: "bad", values: ["utf8", "rsv", "opcode", "masked", "continuation", "ping126", "length", "rsv1", "deflate", "bfinal", "desync", "window", "bomb:16MiB"], times: TIMES, help: "Sends one frame that is broken so, or compressed so." },
  { name: "refuse", values: ["503", "503:5s", "302:/path", "401"], times: SHARES, help: "Answers the upgrade with a status from 300 to 599; 503 with Retry-After, 302 with Location." },
  { name: "wait", values: ["2s"], times: SHARES, help: "The 101 comes that much later, by 60 s at most." },
  { name: "accept", values: ["wrong", "none", "unasked"], times: SHARES, help: "A wrong, or no, Sec-WebSocket-Accept, or an extension that was not offered." },
  { name: "deflate", values: ["off", "takeover", "window:9"], times: SHARES, help: "How messages are compressed, if at all." },
  { name: "subprotocol", values: ["chat", "none"], times: SHARES, help: "Selects that one, offered or not." },
  { name: "greet", values: ["hello"], times: SHARES, help: "A text message right behind the 101, in the same write." },
  { name: "who", times: SHARES, help: "The first message is a JSON text of what the server saw of the handshake." },
];

const stepNamed = (name) => STEPS.find((step) => step.name === name);

const nameOf = (step) => /^[^:@]*/.exec(step)[0].trim();

/** A step as the server reads it: in a value, what separates steps or a value from a time has a backslash. */
const stepOf = (name, value, time) =>
  name + (value && `:${value.replace(/[\\,@]/g, "\\$&")}`) + (time && `@${time}`);

/** The steps of a list, which stand between commas without a backslash. */
const splitSteps = (list) => (list.match(/(?:\\.|[^\\,])+/gs) ?? []).map((step) => step.trimStart()).filter(Boolean);

