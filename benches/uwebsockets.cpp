// uWebSockets' own example of an echo server, without TLS and compression, to stand beside echobeat:
// benches/README.md says how.

#include <cstdio>
#include <cstdlib>

#include "App.h"

struct Nothing {};

int main(int argc, char **argv) {
    const int port = argc > 1 ? std::atoi(argv[1]) : 9001;
    uWS::App()
        .ws<Nothing>("/*", {
            .compression = uWS::DISABLED,
            .maxPayloadLength = 64 * 1024 * 1024,
            .maxBackpressure = 64 * 1024 * 1024,
            .message = [](auto *ws, std::string_view message, uWS::OpCode opcode) {
                ws->send(message, opcode);
            },
        })
        .listen("127.0.0.1", port, [port](auto *listening) {
            std::printf(listening ? "127.0.0.1:%d\n" : "cannot listen on port %d\n", port);
            std::fflush(stdout);
        })
        .run();
}
