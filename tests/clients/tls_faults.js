// What Node makes of the faults of --tls-faults.
//
//     node tls_faults.js PORT CA_FILE NAME...
//
// Connects once for each name, asks for /healthz, and prints a JSON object: for each name the answer's
// status, or the code of the error.
"use strict";

const { readFileSync } = require("node:fs");
const https = require("node:https");

const [port, authority, ...names] = process.argv.slice(2);
const ca = readFileSync(authority);

function ask(name) {
    return new Promise((resolve) => {
        const options = { host: "127.0.0.1", port, servername: name, path: "/healthz", ca, timeout: 1000 };
        const request = https.get({ ...options, headers: { Host: name } }, (response) => {
            response.resume();
            resolve(String(response.statusCode));
        });
        request.on("timeout", () => request.destroy(Object.assign(new Error(), { code: "timeout" })));
        request.on("error", (error) => resolve(error.code));
    });
}

Promise.all(names.map(async (name) => [name, await ask(name)])).then((results) => {
    console.log(JSON.stringify(Object.fromEntries(results)));
});
