// ---- The rows of the list ----

/** Bytes of a binary message that its row folds out to. */
const MAX_DUMP = 4096;
const WAYS = { out: ["↑", "sent"], in: ["↓", "received"] };
const ECHO_SIGNS = { same: ["✓", "came back byte for byte"], changed: ["✗", "came back changed"] };

function previewOf({ kind, body, isCut }) {
  if (kind === "binary") return hexOf(body.subarray(0, 48)) + (body.length > 48 ? " …" : "");
  // Line ends and control characters as signs, so that a row stays a row.
  const line = body.slice(0, 300).replace(/[\0-\x1f]/g, (sign) => String.fromCharCode(0x2400 + sign.charCodeAt(0)));
  return line + (isCut || body.length > 300 ? " …" : "");
}

function tripCell({ trip, echo }) {
  if (echo === undefined) return make("span", { className: "trip" });
  const [sign, title] = ECHO_SIGNS[echo];
  return make("span", { className: "trip", title, dataset: { echo } }, `${sign} ${writeTime(trip)}`);
}

function cells(record) {
  const { direction, kind, size } = record;
  if (kind === "event") return [];
  const [arrow, word] = WAYS[direction];
  return [
    make("span", { className: "way mono", title: word }, arrow, make("span", { className: "hidden-label" }, word)),
    make("span", { className: "kind" }, kind),
    make("span", { className: "size" }, writeBytes(size)),
    tripCell(record),
  ];
}

function row(record, actions) {
  const { time, direction, kind, tone = "" } = record;
  const summary = make(
    "summary",
    { tabIndex: -1 },
    make("span", { className: "time mono" }, writeClock(time)),
    ...cells(record),
    make("span", { className: "preview mono" }, previewOf(record)),
  );
  const details = make("details", {}, summary);
  details.addEventListener("toggle", () => {
    if (details.open && details.childElementCount === 1) details.append(detail(record, actions));
  });
  return make("li", { className: "entry", dataset: { direction, kind, tone } }, details);
}

/** The whole body, as far as it is kept: JSON folded out, binary as a dump of hex. */
function detail(record, actions) {
  const { kind, body, isCut, size, direction } = record;
  const isBinary = kind === "binary";
  const box = make("div", { className: "detail" }, isBinary ? dump(body) : folded(body, isCut));
  const shown = isBinary ? Math.min(body.length, MAX_DUMP) : MAX_BODY;
  if (isCut || (isBinary && shown < size)) {
    box.append(make("p", { className: "soft" }, `The first ${writeBytes(shown)} of ${writeBytes(size)}.`));
  }
  if (direction === "none") return box;
  const edit = make("button", { type: "button", disabled: isCut }, "Edit and send");
  edit.addEventListener("click", () => actions.edit(record));
  const copies = isBinary
    ? [copyButton("Copy hex", () => hexOf(body)), copyButton("Copy base64", () => base64Of(body)), base64Button(box, body)]
    : [copyButton("Copy", () => body)];
  box.append(make("div", { className: "row" }, ...copies, edit));
  return box;
}

function copyButton(label, text) {
  const button = make("button", { type: "button" }, label);
  button.addEventListener("click", () => copy(text(), button));
  return button;
}

/** Shows base64 in place of the dump, and the dump again. */
function base64Button(box, body) {
  const button = make("button", { type: "button", ariaPressed: "false" }, "Base64");
  button.addEventListener("click", () => {
    const isBase64 = button.ariaPressed === "false";
    button.ariaPressed = String(isBase64);
    const shown = isBase64 ? make("pre", {}, base64Of(body.subarray(0, MAX_DUMP))) : dump(body);
    box.firstElementChild.replaceWith(shown);
  });
  return button;
}

const dump = (bytes) => make("pre", { className: "dump" }, ...dumpLines(bytes.subarray(0, MAX_DUMP)));

function folded(text, isCut) {
  const tokens = isCut ? null : jsonTokens(text);
  if (!tokens) return make("pre", {}, text);
  const pieces = Array.from(foldOut(tokens), ([className, piece]) =>
    className ? make("span", { className }, piece) : piece,
  );
  return make("pre", {}, ...pieces);
}

