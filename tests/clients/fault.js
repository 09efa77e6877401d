// What Node's ws makes of a fault.
//
//     node fault.js URL
//
// Connects, sends the text "hello", and reads to the end, or until it has heard nothing for a second,
// when it closes. Prints what it came to, as JSON: `status` or `refused` of a handshake that failed; or
// else the `messages`, the `code` and `reason` that it closed with, and the protocol `error` that it
// found, if any. ws is looked for where NODE_PATH says.
"use strict";

const WebSocket = require("ws");

const QUIET = 1000; // ms without a message

const websocket = new WebSocket(process.argv[2], { closeTimeout: 500 });
const came = { messages: [] };
let opened = false;
let quiet;

function listen() {
    clearTimeout(quiet);
    quiet = setTimeout(() => websocket.close(4999), QUIET);
}

function report(result) {
    console.log(JSON.stringify(result));
    process.exit();
}

websocket.on("open", () => {
    opened = true;
    websocket.send("hello");
    listen();
});
websocket.on("message", (data, isBinary) => {
    came.messages.push(isBinary ? data.length : data.toString());
    listen();
});
websocket.on("unexpected-response", (_, response) => report({ status: response.statusCode }));
websocket.on("error", (error) => {
    if (!opened) report({ refused: error.message });
    came.error = error.code;
});
websocket.on("close", (code, reason) => report({ ...came, code, reason: reason.toString() }));
setTimeout(() => process.exit(1), 20_000);
