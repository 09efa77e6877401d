// ---- The server's verdict, since browsers tell a page nothing of a handshake that failed ----

const VERDICT = "application/vnd.echobeat.verdict+json";

/** Where this target's server can be asked by HTTP; null where that is not the server of the page. */
function placeOf({ url }) {
  const place = new URL(url.replace(/^ws/, "http"));
  // Pages may not fetch a URL with these.
  [place.username, place.password] = ["", ""];
  return place.origin === location.origin ? place : null;
}

/** Whether this is a whole WebSocket URL of the server of the page. */
function isOfThisServer(url) {
  try {
    return placeOf({ url }) !== null;
  } catch {
    return false;
  }
}

/** What the server would answer this handshake, as src/echo/verdict.rs has it; null where it does not say. */
async function verdictOn(target) {
  const place = placeOf(target);
  if (!place) return null;
  const headers = { Accept: VERDICT };
  if (target.subprotocols.length) headers["Echobeat-Subprotocols"] = target.subprotocols.join(", ");
  try {
    const answer = await fetch(place, { headers, cache: "no-store", signal: AbortSignal.timeout(5_000) });
    return answer.headers.get("Content-Type") === VERDICT ? await answer.json() : null;
  } catch {
    return null;
  }
}

/** Why a handshake failed, as far as a page can know. */
function reasonOf(target, verdict) {
  if (!placeOf(target)) return "The browser does not tell pages of another server why. This asks that server:";
  if (!verdict) return "No answer by HTTP either: no echobeat is there, or something in between keeps it away.";
  const { status, sentence, subprotocol } = verdict;
  if (sentence) return `The server answers ${status}: ${sentence}`;
  if (target.subprotocols.length && !subprotocol) return "The server selects none of these subprotocols, and browsers take that for a failure.";
  if (subprotocol && !target.subprotocols.includes(subprotocol)) return `The server selects the subprotocol ${subprotocol}, which was not offered.`;
  return "The server would accept this handshake now. Either it could not just then, or the browser did not like its answer.";
}

/** A command that does the handshake of this target as the page at `origin` does it, and shows the answer. */
function curlLine({ url, subprotocols }, origin) {
  const headers = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"];
  headers.push("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", `Origin: ${origin}`);
  if (subprotocols.length) headers.push(`Sec-WebSocket-Protocol: ${subprotocols.join(", ")}`);
  const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  const options = headers.map((header) => `-H ${quoted(header)}`).join(" ");
  return `curl -i -N -m 5 --http1.1 ${options} ${quoted(url.replace(/^ws/, "http"))}`;
}

