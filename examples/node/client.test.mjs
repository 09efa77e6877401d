// Tests of a WebSocket client with node:test. echobeat is the server, and says what it saw.
//
//     npm install
//     ECHOBEAT=path/to/echobeat npm test
//
// Without ECHOBEAT, the program is looked for on PATH. Needs Node 20 or newer.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import WebSocket from "ws";

const TIMEOUT = 10_000; // ms, for everything that is waited for
const soon = () => ({ signal: AbortSignal.timeout(TIMEOUT) });

let server;
let listening;

before(async () => {
    const program = process.env.ECHOBEAT ?? "echobeat";
    const flags = ["127.0.0.1:0", "--api", "--heartbeat=off", "--log-format=json"];
    server = spawn(program, flags, { stdio: ["ignore", "ignore", "pipe"] });
    await once(server, "spawn", soon());
    // The first line of the log says where it listens.
    const [line] = await once(createInterface({ input: server.stderr }), "line", soon());
    listening = JSON.parse(line);
});

after(async () => {
    server.kill();
    await once(server, "exit", soon());
});

async function ask(method, path, body) {
    const response = await fetch(new URL(path, listening.http), { method, body, ...soon() });
    assert.ok(response.ok, `${method} ${path}: ${response.status}`);
    return response.status === 204 ? null : response.json();
}

test("a message comes, a push arrives, and a close is answered", async () => {
    const client = new WebSocket(new URL("?id=me", listening.websocket));
    await once(client, "open", soon());

    let message = once(client, "message", soon());
    client.send("hello");
    const came = await ask("GET", "/connections/me/messages?direction=in&wait=10s");
    assert.deepEqual(came.messages.map(({ text }) => text), ["hello"]);
    assert.equal(String((await message)[0]), "hello");

    message = once(client, "message", soon());
    assert.deepEqual(await ask("POST", "/connections/me", "news"), { delivered: 1, skipped: 0 });
    assert.equal(String((await message)[0]), "news");

    const closed = once(client, "close", soon());
    await ask("DELETE", "/connections/me?code=4001&reason=bye");
    const [code, reason] = await closed;
    assert.deepEqual([code, String(reason)], [4001, "bye"]);

    const found = await ask("GET", "/connections?id=me&state=closed&wait=10s");
    const { why, code: recorded, clean, tcp } = found.connections[0].end;
    assert.deepEqual({ why, code: recorded, clean, tcp }, { why: "api", code: 4001, clean: true, tcp: "fin" });
});
