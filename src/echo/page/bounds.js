// ---- Bounds, so that a page left open for days stays as light as a new one ----

/** What measurements and the chart look back on, in milliseconds. */
const WINDOW = 120_000;
/** Messages and events that are kept, and the bytes of their bodies in all. */
const MAX_RECORDS = 5_000;
const MAX_KEPT_BYTES = 16 << 20;
/** Bytes of one body that are kept: more is shown, copied and exported of none. */
const MAX_BODY = 64 << 10;
/** Rows in the document. */
const MAX_ROWS = 300;
/** Messages that wait for their echo, and their bytes in all. */
const MAX_WAITING = 50_000;
const MAX_WAITING_BYTES = 256 << 20;
/** The largest file that is read for sending. */
const MAX_FILE = 256 << 20;
/** Bytes in the socket's buffer at which sending many pauses. */
const MAX_BUFFERED = 1 << 20;
/** Sent messages that can be brought back, and the characters of them all that outlive the page. */
const MAX_HISTORY = 50;
const MAX_STORED = 128 << 10;
/** Milliseconds that a regular expression may take for one message, and for all that are kept. */
const MAX_MATCHING = 20;
const MAX_SIFTING = 500;

/** Connections of the server that are kept in mind, and those of them that are shown; and of ended ones. */
const MAX_TRACKED = 1_000;
const MAX_SHOWN = 100;
const MAX_ENDED = 20;
/** Characters of an event of the server. */
const MAX_EVENT = 4 << 20;
/** Characters of a path that are shown. */
const MAX_PATH = 200;

