// uWebSockets' own example of an echo server, to stand beside echobeat. It sends
// heart beats as echobeat does, from one timer, which fires ten times a second and serves those whose
// turn it is. Sessions at /topic get what is posted to /topics/bench. Built with OpenSSL, it speaks
// TLS 1.3, and its arguments are the files of a certificate and its key. Built with zlib, it compresses
// all echoes, and its argument is "shared" or "dedicated": whose the compressor is.

#include <array>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>
#include <unordered_set>

#include "App.h"

#ifdef LIBUS_USE_OPENSSL
constexpr bool TLS = true;
#else
constexpr bool TLS = false;
#endif

#ifdef UWS_NO_ZLIB
constexpr bool ZLIB = false;
#else
constexpr bool ZLIB = true;
#endif

constexpr std::string_view TOPIC = "bench";

constexpr int PERIOD_MS = 3000;
constexpr int SLOT_MS = 100;
constexpr std::size_t SLOTS = PERIOD_MS / SLOT_MS;

struct Session {
    std::size_t slot;
};

using Socket = uWS::WebSocket<TLS, true, Session>;

static std::array<std::unordered_set<Socket *>, SLOTS> sessions;
static std::size_t now = 0;

static void beat(us_timer_t *) {
    now = (now + 1) % SLOTS;
    for (Socket *ws : sessions[now]) {
        ws->send("heart beat", uWS::OpCode::TEXT);
    }
}

static uWS::CompressOptions compression(const char *compressor) {
    if (!std::strcmp(compressor, "dedicated")) {
        return uWS::CompressOptions(uWS::DEDICATED_COMPRESSOR_32KB | uWS::SHARED_DECOMPRESSOR);
    }
    return uWS::CompressOptions(uWS::SHARED_COMPRESSOR | uWS::SHARED_DECOMPRESSOR);
}

int main(int argc, char **argv) {
    uWS::SocketContextOptions options;
    if (TLS) {
        if (argc != 3) {
            std::fprintf(stderr, "usage: %s CERTIFICATE KEY\n", argv[0]);
            return 2;
        }
        options.cert_file_name = argv[1];
        options.key_file_name = argv[2];
    }
    if (ZLIB && argc != 2) {
        std::fprintf(stderr, "usage: %s shared|dedicated\n", argv[0]);
        return 2;
    }
    auto *loop = reinterpret_cast<us_loop_t *>(uWS::Loop::get());
    us_timer_set(us_create_timer(loop, 0, 0), beat, SLOT_MS, SLOT_MS);
    uWS::TemplatedApp<TLS> app(options);
    app.ws<Session>("/topic", {
            .compression = uWS::DISABLED,
            .open = [](auto *ws) {
                ws->getUserData()->slot = now;
                sessions[now].insert(ws);
                ws->subscribe(TOPIC);
            },
            .close = [](auto *ws, int, std::string_view) {
                sessions[ws->getUserData()->slot].erase(ws);
            },
        })
        .post("/topics/bench", [&app](auto *response, auto *) {
            response->onAborted([] {});
            response->onData([&app, response, body = std::string()](std::string_view part, bool last) mutable {
                body.append(part);
                if (last) {
                    app.publish(TOPIC, body, uWS::OpCode::BINARY);
                    response->end();
                }
            });
        })
        .ws<Session>("/*", {
            .compression = ZLIB ? compression(argv[1]) : uWS::DISABLED,
            .maxPayloadLength = 64 * 1024 * 1024,
            .maxBackpressure = 64 * 1024 * 1024,
            .open = [](auto *ws) {
                ws->getUserData()->slot = now;
                sessions[now].insert(ws);
            },
            .message = [](auto *ws, std::string_view message, uWS::OpCode opcode) {
                ws->send(message, opcode, ZLIB);
            },
            .close = [](auto *ws, int, std::string_view) {
                sessions[ws->getUserData()->slot].erase(ws);
            },
        })
        .listen("127.0.0.1", 0, [](auto *listening) {
            if (!listening) {
                std::fprintf(stderr, "cannot listen\n");
                return;
            }
            auto *socket = reinterpret_cast<us_socket_t *>(listening);
            std::printf("127.0.0.1:%d\n", us_socket_local_port(TLS, socket));
            std::fflush(stdout);
        })
        .run();
}
