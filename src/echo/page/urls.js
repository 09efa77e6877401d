// ---- URLs ----

/** The page's scheme in WebSocket's words: a secure page may open secure connections alone. */
const schemeAt = (place) => (place.protocol === "https:" ? "wss" : "ws");

/**
 * The WebSocket URL of a path on the server that served the page at `place`, which a proxy may have put a prefix to.
 * Without a path it is the page's own.
 */
function ownUrl(place, path) {
  const url = new URL(`${schemeAt(place)}://${place.host}`);
  url.pathname = path ? place.pathname.replace(/\/$/, "") + path.replace(/^(?!\/)/, "/") : place.pathname;
  return url.href;
}

/** What a link to the page asks for, as in /?do=rst@2s&path=/chat; null where it asks for nothing. */
function linkedUrl(place, path) {
  const asked = new URLSearchParams(place.search);
  if (!asked.has("do") && !asked.has("path")) return null;
  return withSteps(ownUrl(place, asked.get("path") || path), stepsOf(place.search));
}

const SCHEMES = new Map([["ws", "ws"], ["wss", "wss"], ["http", "ws"], ["https", "wss"]]);

/** The whole of what was typed, unless it is wrong: a host alone gets a scheme, a path alone gets this server. */
function completed(text, own) {
  const { protocol, host, pathname } = new URL(own);
  const [, scheme, slashes, rest] = /^([a-z][a-z0-9+.-]*):(?!\d)(\/\/)?(.*)$/is.exec(text) ?? [];
  if (scheme && !SCHEMES.has(scheme.toLowerCase())) {
    throw new Error(`A WebSocket URL begins with ws:// or wss://, not with ${scheme}:${slashes ?? ""}`);
  }
  if (scheme && !slashes) throw new Error(`Behind ${scheme}: there must be two slashes and a host.`);
  if (scheme) return `${SCHEMES.get(scheme.toLowerCase())}://${rest}`;
  if (text.startsWith("//")) return protocol + text;
  if (text.startsWith("/")) return `${protocol}//${host}${text}`;
  if (text.startsWith("?")) return `${protocol}//${host}${pathname}${text}`;
  return `${protocol}//${text}`;
}

/** The URL to connect to for what was typed. Throws a sentence where there is none. */
function targetUrl(typed, own) {
  const text = typed.trim();
  if (!text) throw new Error("Type a URL, such as ws://host:port/path, or a path of this server, such as /chat.");
  // Browsers refuse it, as RFC 6455, section 3, demands.
  if (text.includes("#")) throw new Error("A WebSocket URL has no fragment: a # in it is written %23.");
  const whole = completed(text, own);
  const [authority] = /^[^/?\\]*/.exec(whole.replace(/^wss?:\/\//, ""));
  if (!authority) throw new Error("There is no host in this URL.");
  try {
    // Chromium takes a space for a character of a host.
    return new URL(/\s/.test(authority) ? "" : whole).href;
  } catch {
    const isBare = /^[^[]*:[^[]*:/.test(authority);
    throw new Error(`“${whole}” is no URL${isBare ? ": an IPv6 address stands in brackets" : ""}.`);
  }
}

/** Says what was made of the text, where that is more than its writer can see. */
function readingOf(typed, url, own) {
  const text = typed.trim();
  if (text === url) return "";
  if (/^[/?]/.test(text) && !text.startsWith("//")) return `A path on the server of this page: ${url}`;
  const scheme = new URL(own).protocol.slice(0, -1);
  const isGuessed = text.startsWith("//") || !/^[a-z][a-z0-9+.-]*:\/\//i.test(text);
  return `Connects to ${url}${isGuessed ? ` (${scheme}, as the page came by ${scheme.replace("ws", "http")})` : ""}`;
}

/** Percent-encodes for a query, so that shells and Markdown leave it alone, all but what reads better as it is. */
const encodeList = (text) =>
  encodeURIComponent(text).replace(/%(?:3A|2F|2C|40|3D)/g, decodeURIComponent).replaceAll("'", "%27");

function decodePart(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The query's parameters as they stand: decoding and encoding them could change what is not ours. */
function splitUrl(url) {
  const [, address, query = ""] = /^([^?#]*)(?:\?([^#]*))?/.exec(url);
  return { address, parameters: query.split("&").filter(Boolean) };
}

const isDo = (parameter) => /^do(=|$)/.test(parameter);

/** The steps in a URL. Several lists are one, as they are to the server, which decodes first and then splits. */
function stepsOf(url) {
  const given = splitUrl(url).parameters.filter(isDo).map((parameter) => parameter.slice("do=".length));
  return splitSteps(decodePart(given.join(",").replaceAll("+", " ")));
}

function withSteps(url, steps) {
  const { address, parameters } = splitUrl(url);
  const others = parameters.filter((parameter) => !isDo(parameter));
  const all = steps.length ? [...others, doParameter(steps)] : others;
  return address + (all.length ? `?${all.join("&")}` : "");
}

const doParameter = (steps) => `do=${encodeList(steps.join(","))}`;

/** The name that a URL gives its connection, as the server reads it: the last that is not empty; else null. */
const idIn = (url) => new URLSearchParams(splitUrl(url).parameters.join("&")).getAll("id").filter(Boolean).at(-1) ?? null;

function withId(url, id) {
  const { address, parameters } = splitUrl(url);
  const others = parameters.filter((parameter) => !/^id(=|$)/.test(parameter));
  const all = id ? [...others, `id=${id}`] : others;
  return address + (all.length ? `?${all.join("&")}` : "");
}

