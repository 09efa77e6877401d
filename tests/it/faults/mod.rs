//! The fault matrix: what the server must survive, and the test that shows it.
//!
//! While a fault lasts, a [control connection](crate::support::Control) must go on to echo.
//!
//! | # | fault | required | test |
//! |---|---|---|---|
//! | 1 | plain GET on a path meant for WebSockets | 426, `Upgrade: websocket` | `handshake::paths_…` |
//! | 2–6 | POST; version 8 or none; HTTP/1.0; bad keys; no `Host` or two | 405, 426, 505, 400, closed | `handshake::every_refusal_…` |
//! | 7 | `Connection` and `Upgrade` as lists over lines | 101 | `handshake::lists_…` |
//! | 8 | 65 headers; 17 KiB of header; 10 MB of head | 431 | `handshake::every_refusal_…`, `heads_beyond_…` |
//! | 9 | 1,000 slow heads, byte by byte | closed in time, others served | `handshake::a_thousand_slow_heads_…` |
//! | 10 | frames in the segment of the head | echoed | `echo::frames_in_the_segment_…` |
//! | 11 | an upgrade with a body | 400, no second answer | `handshake::every_refusal_…` |
//! | 12, 13 | foreign origin; bad subprotocols | 403; one token or 400 | `handshake::origins_…`, `a_subprotocol_…` |
//! | 14–16, 21 | broken frames, text and Closes; lengths of 2^63 | 1002, 1007, 1009 | `frames::every_broken_frame_…` |
//! | 17 | a message over the limit, 100 MB more behind it | 1009 arrives | `frames::too_big_is_said_…` |
//! | 18, 19 | fragments without end, empty or not | 1008, 1009, bounded memory | `frames::empty_…`, `endless_…` |
//! | 20 | half a frame, then silence | 1008 | `frames::half_a_frame_…`; by a paused clock in `session::tests::timing` |
//! | 22 | data after Close | ignored | `frames::what_follows_a_close_…` |
//! | 23, 24 | never reads, and sends messages or Pings | dropped, bounded memory | `flow::who_never_reads_…` |
//! | 25 | Pings without measure, read | 1008 | `flow::a_flood_of_pings_…` |
//! | 26 | reads next to nothing | dropped, no busy loop | `flow::who_hardly_reads_…` |
//! | 27 | 1,000 connections echo 1 MiB, then idle | memory falls back | `flow::large_messages_leave_…` |
//! | 28 | one peer saturates the server | others stay quick | `flow::a_saturating_peer_…` |
//! | 29 | no more files | one log line, recovers | `unix::out_of_files_…` |
//! | 30 | 100 sessions too many | 503, `/healthz` answers | `lifecycle::sessions_too_many_…` |
//! | 31 | 10,000 resets | nothing leaks | `lifecycle::ten_thousand_resets_…` |
//! | 32 | half-close with echoes pending | all arrive | `echo::a_client_that_half_closes_…` |
//! | 33 | dead peer | gone in time | `lifecycle::a_dead_peer_…` |
//! | 34 | SIGTERM with 5,000 connections | 1001 to each, exit 0 | `lifecycle::five_thousand_…` |
//! | 35 | no answer to our Close | dropped in time | `lifecycle::who_does_not_answer_…` |
//! | 36 | a second signal | exits at once | `unix::a_second_signal_…` |
//! | 37, 38 | addresses, flags, certificates that are wrong | a sentence, exit 1 or 2 | `cli`, `tls::certificates::files_…` |
//! | 39 | stalled TLS handshakes; plain HTTP, garbage on a TLS port | closed in time, nothing in the log | `tls::handshake::handshakes_that_stall_…`, `what_is_no_tls_…`; over HTTP/2 `http2::bounds::who_asks_for_nothing_…` |
//! | 40 | TCP ends without close_notify | a quiet abnormal close | `tls::sessions::an_end_of_tcp_…`; over HTTP/2 `http2::sessions::the_end_of_a_connection_…` |
//! | 41 | upstream down, refuses, lies, never answers | passed on; 502, 504; no tunnel | `proxy::upstreams::…` |
//! | 42 | a request behind a refused upgrade | never reaches the upstream | `proxy::upstreams::a_refusal_…` |
//! | 43 | either side closes, resets, half-closes | the other sees the same | `proxy::tunnels::an_end_of_…`, `a_reset_of_…` |
//! | 44 | hop-by-hop headers, forged `X-Forwarded-For` | removed; appended to | `proxy::forwarding::the_upstream_sees_…` |
//! | 45 | one side does not read | the other is stopped | `proxy::tunnels::who_does_not_read_…` |
//! | 50 | 1,500 uploads of 1 MB, abandoned at once | memory falls to twice that of idle sessions in 15 s | `memory::…` |
//! | 54 | tunnel: one side does not read, the other is gone | both sockets gone in time | `proxy::standstill::a_reset_is_passed_on_…`, `an_end_is_a_reset_…`, `a_reset_of_a_stream_…` |
//! | 55 | POST to an upstream that never reads | 504, and its socket gone | `proxy::standstill::an_upload_that_…` |

mod flow;
mod frames;
mod handshake;
mod lifecycle;
#[cfg(target_os = "linux")]
mod memory;
#[cfg(target_os = "linux")]
mod process;
