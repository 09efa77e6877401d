// uWebSockets' own example of an echo server, without TLS and compression, to stand beside echobeat:
// benches/README.md says how. It sends heart beats as echobeat does, from one timer, which fires ten
// times a second and serves those whose turn it is.

#include <array>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <unordered_set>

#include "App.h"

constexpr int PERIOD_MS = 3000;
constexpr int SLOT_MS = 100;
constexpr std::size_t SLOTS = PERIOD_MS / SLOT_MS;

struct Session {
    std::size_t slot;
};

using Socket = uWS::WebSocket<false, true, Session>;

static std::array<std::unordered_set<Socket *>, SLOTS> sessions;
static std::size_t now = 0;

static void beat(us_timer_t *) {
    now = (now + 1) % SLOTS;
    for (Socket *ws : sessions[now]) {
        ws->send("heart beat", uWS::OpCode::TEXT);
    }
}

int main(int argc, char **argv) {
    const int port = argc > 1 ? std::atoi(argv[1]) : 9001;
    auto *loop = reinterpret_cast<us_loop_t *>(uWS::Loop::get());
    us_timer_set(us_create_timer(loop, 0, 0), beat, SLOT_MS, SLOT_MS);
    uWS::App()
        .ws<Session>("/*", {
            .compression = uWS::DISABLED,
            .maxPayloadLength = 64 * 1024 * 1024,
            .maxBackpressure = 64 * 1024 * 1024,
            .open = [](auto *ws) {
                ws->getUserData()->slot = now;
                sessions[now].insert(ws);
            },
            .message = [](auto *ws, std::string_view message, uWS::OpCode opcode) {
                ws->send(message, opcode);
            },
            .close = [](auto *ws, int, std::string_view) {
                sessions[ws->getUserData()->slot].erase(ws);
            },
        })
        .listen("127.0.0.1", port, [port](auto *listening) {
            std::printf(listening ? "127.0.0.1:%d\n" : "cannot listen on port %d\n", port);
            std::fflush(stdout);
        })
        .run();
}
