// ---- The end of a connection as the server saw it, in a sentence ----

/** Parties to a connection, as the subject of a sentence. */
const PAGE = { peer: "you", Peer: "You" };
const CLIENT = { peer: "the client", Peer: "The client" };

/** Why a session ended, by the log's word for it; null where the Close says it all. */
const CAUSES = new Map([
  ["closed", () => null],
  ["protocol", ({ peer }, reason) => `${peer} broke the protocol: ${reason}`],
  ["not-utf8", () => "text was not UTF-8"],
  ["not-deflate", () => "a compressed message did not decompress"],
  ["too-big", (_, reason) => `a message was too big: ${reason}`],
  ["flood", (_, reason) => `there were too many control frames or fragments: ${reason}`],
  ["stuck", () => "a message made no progress"],
  ["drained", () => "the server was shutting down"],
  ["dead", ({ peer }) => `${peer} did not answer a Ping`],
  ["stalled", ({ peer }) => `${peer} did not read what the server sent`],
  ["eof", ({ peer }) => `${peer} ended TCP without a Close`],
  ["lost", (_, reason) => `TCP failed: ${reason}`],
  ["fault", (_, reason) => `it was ${reason} of do`],
  ["api", () => "it was asked for by the API"],
]);

/** The reason of an end by a Close whose code may not be sent. */
const ILLEGAL_CODE = "illegal close code";

const TCP_ENDS = new Map([
  ["fin", "TCP ended by FIN"],
  ["rst", "TCP ended by RST"],
  ["timeout", "TCP was given up after a timeout"],
]);

/** A text of a stranger's, whose control characters and changes of direction are written out. */
const visible = (text) =>
  text.replace(/[\p{Cc}\p{Bidi_Control}]/gu, (sign) => `\\u{${sign.codePointAt(0).toString(16)}}`);

const closeInWords = ({ code, reason }) =>
  code === null ? "a Close without a code" : `Close ${code}${reason ? ` “${visible(reason)}”` : ""}`;

/** Ends after which the server reads nothing more, an answer to its Close neither. */
const DEAF_AFTER = ["protocol", "not-utf8", "not-deflate", "too-big", "flood", "stuck", "dead", "stalled"];

/** What one side said to the Close that the other sent first. */
function answerTo(first, answer, who) {
  if (!answer) return `${who} did not answer`;
  if (answer.code === first.code && answer.reason === first.reason) return `${who} answered`;
  return `${who} sent ${closeInWords(answer)} too`;
}

/** Who sent which Close. The server does not know a code that may not be sent. */
function closesInWords({ first, received, sent }, { why, reason }, { peer, Peer }) {
  if (first === "peer") {
    const asked = reason === ILLEGAL_CODE ? "a Close with an illegal code" : closeInWords(received);
    return [`${Peer} sent ${asked} first`, answerTo(received, sent, "the server")];
  }
  if (first === null) return ["Nobody sent a Close"];
  const isDeaf = !received && DEAF_AFTER.includes(why);
  return [`The server sent ${closeInWords(sent)} first`, isDeaf ? "it read no further" : answerTo(sent, received, peer)];
}

function tcpInWords(state, { tcp, reset_by: side }, { peer }) {
  if (tcp === "rst" && side) return `TCP ended by RST from ${side === "peer" ? peer : "the server"}`;
  if (tcp) return TCP_ENDS.get(tcp) ?? `TCP ended by ${tcp}`;
  return state === "closed" ? "and how TCP ended is not known" : "TCP has not ended yet";
}

/** The sentence for a connection of the API's. `party` is who was its client. */
function endingOf({ state, close, end }, party) {
  if (!end) return "For the server it is still open.";
  const parts = [...closesInWords(close, end, party), tcpInWords(state, end, party)];
  const cause = (CAUSES.get(end.why) ?? ((_, reason) => reason))(party, visible(end.reason));
  return `${parts.join(", ")}.${cause ? ` Why: ${cause}.` : ""}`;
}

