// An echo server of Node's ws, which says its address in the first line.
//
// Compression is as it is by default, but for the threshold: by default ws sends messages of less
// than 1 KiB plain where there is no context takeover.

const { WebSocketServer } = require("ws");

const server = new WebSocketServer({
  host: "127.0.0.1",
  port: 0,
  maxPayload: 0,
  perMessageDeflate: { threshold: 0 },
});
server.on("connection", (socket) => {
  socket.on("message", (message, binary) => socket.send(message, { binary }));
});
server.on("listening", () => console.log(`127.0.0.1:${server.address().port}`));
