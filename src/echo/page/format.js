// ---- How things are written ----

const encoder = new TextEncoder();
const decoder = new TextDecoder();

const writeCount = (count) => count.toLocaleString("en");

function writeBytes(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  const power = Math.min(Math.floor(Math.log2(bytes) / 10), 3);
  const size = bytes / 1024 ** power;
  return `${size < 100 ? size.toFixed(1) : Math.round(size)} ${["B", "KiB", "MiB", "GiB"][power]}`;
}

function writeTime(ms) {
  if (ms < 10) return `${ms.toFixed(2)} ms`;
  if (ms < 1000) return `${ms.toFixed(ms < 100 ? 1 : 0)} ms`;
  return `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
}

function writeSpan(ms) {
  const seconds = Math.floor(ms / 1000);
  const two = (number) => String(number).padStart(2, "0");
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  return hours ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}

function writeClock(epoch) {
  const time = new Date(epoch);
  const digits = (number, many) => String(number).padStart(many, "0");
  const seconds = `${digits(time.getSeconds(), 2)}.${digits(time.getMilliseconds(), 3)}`;
  return `${digits(time.getHours(), 2)}:${digits(time.getMinutes(), 2)}:${seconds}`;
}

const hexOf = (bytes, separator = " ") =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(separator);

const BASE64_CHUNK = 0x6000;

/** In pieces, for a call has so many arguments at most. A whole number of threes has no padding within. */
function base64Of(bytes) {
  const pieces = [];
  for (let at = 0; at < bytes.length; at += BASE64_CHUNK) {
    pieces.push(btoa(String.fromCharCode(...bytes.subarray(at, at + BASE64_CHUNK))));
  }
  return pieces.join("");
}

/** Bytes from base64 of either alphabet, with or without padding. Throws what is wrong. */
function parseBase64(text) {
  const digits = text.replace(/\s/g, "").replaceAll("-", "+").replaceAll("_", "/");
  const wrong = /[^a-z0-9+/=]|=(?==*[^=])/i.exec(digits);
  if (wrong) throw new Error(`“${wrong[0]}” ${wrong[0] === "=" ? "stands at the end of base64 alone" : "is not a digit of base64"}.`);
  try {
    return Uint8Array.from(atob(digits.replace(/=+$/, "")), (char) => char.charCodeAt(0));
  } catch {
    throw new Error("Base64 has two digits or more for its last byte: one is missing.");
  }
}

/** Bytes from hex digits; spaces, commas, colons and 0x may stand between them. Throws what is wrong. */
function parseHex(text) {
  const digits = text.replace(/0x|[\s,:]/gi, "");
  const wrong = /[^0-9a-f]/i.exec(digits);
  if (wrong) throw new Error(`“${wrong[0]}” is not a hex digit.`);
  if (digits.length % 2) throw new Error("A byte has two hex digits: one is missing.");
  return Uint8Array.from(digits.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

function* dumpLines(bytes) {
  for (let at = 0; at < bytes.length; at += 16) {
    const line = bytes.subarray(at, at + 16);
    const shown = String.fromCharCode(...line.map((byte) => (byte >= 32 && byte < 127 ? byte : 46)));
    yield `${at.toString(16).padStart(6, "0")}  ${hexOf(line).padEnd(47)}  ${shown}\n`;
  }
}

// ---- JSON, folded out ----

const JSON_TOKENS = /"(?:[^"\\]|\\.)*"|[-\d][\d.eE+-]*|true|false|null|[{}[\],:]/g;

/** The tokens of a JSON text, or null. Only objects and arrays are worth folding out. */
function jsonTokens(text) {
  if (!/^\s*[{[]/.test(text)) return null;
  try {
    JSON.parse(text);
  } catch {
    return null;
  }
  return text.match(JSON_TOKENS);
}

function classOf(token, next) {
  if (token.startsWith('"')) return next === ":" ? "key" : "string";
  return /^[{}[\],:]$/.test(token) ? "" : "literal";
}

/**
 * Pieces of text with a class. Works on tokens, not on the parsed value, which would round large numbers and drop
 * repeated keys: a tool to test with shows what came.
 */
function* foldOut(tokens) {
  const line = (depth) => `\n${"  ".repeat(depth)}`;
  let depth = 0;
  for (const [index, token] of tokens.entries()) {
    const next = tokens[index + 1];
    const isClosed = next === "}" || next === "]";
    if ("{[".includes(token)) yield ["", isClosed ? token : token + line(++depth)];
    else if ("}]".includes(token)) yield ["", "{[".includes(tokens[index - 1]) ? token : line(--depth) + token];
    else if (token === ",") yield ["", token + line(depth)];
    else if (token === ":") yield ["", ": "];
    else yield [classOf(token, next), token];
  }
}

