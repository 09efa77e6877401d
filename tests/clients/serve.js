// A server of Node's ws, to be probed.
//
//     node serve.js INTERVAL
//
// Echoes, sends a Ping every INTERVAL milliseconds, and gives a client up that has not answered by the
// next one, as the documentation of ws advises. Prints its port. ws is looked for where NODE_PATH says.
"use strict";

const { WebSocketServer } = require("ws");

const server = new WebSocketServer({ host: "127.0.0.1", port: 0 });

server.on("connection", (websocket) => {
    let isAlive = true;
    websocket.on("error", () => {});
    websocket.on("pong", () => (isAlive = true));
    websocket.on("message", (data, isBinary) => websocket.send(data, { binary: isBinary }));
    const timer = setInterval(() => {
        if (!isAlive) {
            websocket.terminate();
            return;
        }
        isAlive = false;
        websocket.ping();
    }, Number(process.argv[2]));
    websocket.on("close", () => clearInterval(timer));
});

server.on("listening", () => console.log(server.address().port));
