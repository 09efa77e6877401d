// Messages that Node's ws sends compressed, and gets back.
//
//     node deflate.js URL [BITS]
//
// Offers permessage-deflate as it does by default, or with windows of BITS; sends messages of all kinds,
// and expects each back. Prints, as JSON, the `agreed` extension, and the number of `messages`. ws is
// looked for where NODE_PATH says.
"use strict";

const { randomBytes } = require("node:crypto");
const WebSocket = require("ws");

const LARGE = 5_000_000;

const messages = [
    [""],
    [Buffer.alloc(0)],
    ["hello"],
    ["hello"],
    [randomBytes(100)],
    [randomBytes(70_000)],
    ["to and fro ".repeat(10_000)],
    [randomBytes(LARGE)],
    [Buffer.alloc(LARGE)],
    ["a", "", "b".repeat(100_000), "c"],
    [randomBytes(10), randomBytes(10_000), Buffer.alloc(0)],
];

const [url, bits] = process.argv.slice(2);
const windows = bits && { serverMaxWindowBits: Number(bits), clientMaxWindowBits: Number(bits) };
// The threshold is 1 KiB by default.
const websocket = new WebSocket(url, { perMessageDeflate: { threshold: 0, ...windows } });

function fail(what) {
    console.error(what);
    process.exit(1);
}

websocket.on("open", () => {
    for (const parts of messages) {
        const binary = typeof parts[0] !== "string";
        parts.forEach((part, n) => websocket.send(part, { binary, fin: n === parts.length - 1 }));
    }
});
let came = 0;
websocket.on("message", (data, isBinary) => {
    const parts = messages[came];
    const whole = Buffer.concat(parts.map((part) => Buffer.from(part)));
    if (!whole.equals(data) || isBinary === (typeof parts[0] === "string")) fail(`message ${came} differs`);
    came += 1;
    if (came === messages.length) {
        console.log(JSON.stringify({ agreed: websocket.extensions, messages: came }));
        process.exit();
    }
});
websocket.on("error", fail);
websocket.on("close", fail);
setTimeout(() => fail("too late"), 60_000);
