//! The fault matrix: what the server must survive, and the test that shows it.
//!
//! While a fault lasts, a [control connection](crate::support::Control) must go on to echo.
//!
//! | # | fault | required | test |
//! |---|---|---|---|
//! | 1 | plain GET on a path meant for WebSockets | 426, `Upgrade: websocket` | `handshake::paths_…` |
//! | 2–6 | POST; version 8 or none; HTTP/1.0; bad keys; no `Host` or two | 405, 426, 505, 400, closed | `handshake::every_refusal_…` |
//! | 7 | `Connection` and `Upgrade` as lists over lines | 101 | `handshake::connection_and_upgrade_…` |
//! | 8 | 65 headers; 17 KiB of header; 10 MB of head | 431 | `handshake::every_refusal_…`, `oversized_heads_…` |
//! | 9 | 1,000 slow heads, byte by byte | closed in time, others served | `handshake::a_thousand_slow_heads_…` |
//! | 10 | frames in the segment of the head | echoed | `echo::frames_in_the_segment_…` |
//! | 11 | an upgrade with a body | 400, no second answer | `handshake::every_refusal_…` |
//! | 12, 13 | foreign origin; bad subprotocols | 403; one token or 400 | `handshake::origins_…`, `a_selected_subprotocol_…` |
//! | 14–16, 21 | broken frames, text and Closes; lengths of 2^63 | 1002, 1007, 1009 | `frames::every_broken_frame_…` |
//! | 17 | a message over the limit, 100 MB more behind it | 1009 arrives | `frames::a_close_with_1009_…` |
//! | 18, 19 | fragments without end, empty or not | 1008, 1009, bounded memory | `frames::empty_…`, `endless_…` |
//! | 20 | half a frame, then silence | 1008 | `frames::half_a_frame_…`; by a paused clock in `session::tests::timing` |
//! | 22 | data after Close | ignored | `frames::what_follows_a_close_…` |
//! | 23, 24 | never reads, and sends messages or Pings | dropped, bounded memory | `flow::a_client_that_never_reads_…` |
//! | 25 | Pings without measure, read | 1008 | `flow::a_flood_of_pings_…` |
//! | 26 | reads next to nothing | dropped, no busy loop | `flow::a_client_that_hardly_reads_…` |
//! | 27 | 1,000 connections echo 1 MiB, then idle | memory falls back | `flow::large_messages_leave_…` |
//! | 28 | one peer saturates the server | others stay quick | `flow::a_client_that_saturates_…` |
//! | 29 | no more files | one log line, recovers | `unix::a_server_without_files_…` |
//! | 30 | 100 sessions too many | 503, `/healthz` answers | `lifecycle::sessions_over_the_limit_…` |
//! | 31 | 10,000 resets | nothing leaks | `lifecycle::ten_thousand_resets_…` |
//! | 32 | half-close with echoes pending | all arrive | `echo::a_client_that_half_closes_…` |
//! | 33 | dead peer | gone in time | `lifecycle::a_dead_peer_…` |
//! | 34 | SIGTERM with 5,000 connections | 1001 to each, exit 0 | `lifecycle::five_thousand_…` |
//! | 35 | no answer to our Close | dropped in time | `lifecycle::a_client_that_does_not_answer_…` |
//! | 36 | a second signal | exits at once | `unix::a_second_signal_…` |
//! | 37, 38 | addresses, flags, certificates that are wrong | a sentence, exit 1 or 2 | `cli`, `tls::certificates::files_…` |
//! | 39 | stalled TLS handshakes; plain HTTP, garbage on a TLS port | closed in time, no flood in the log | `tls::handshake::handshakes_that_stall_…`, `bytes_that_are_no_tls_…`, `a_flood_…`; over HTTP/2 `http2::bounds::a_connection_without_a_request_…` |
//! | 40 | TCP ends without close_notify | a quiet abnormal close | `tls::sessions::an_end_of_tcp_…`; over HTTP/2 `http2::sessions::the_end_of_a_connection_…` |
//! | 41 | upstream down, refuses, lies, never answers | passed on; 502, 504; no tunnel | `proxy::upstreams::…` |
//! | 42 | a request behind a refused upgrade | never reaches the upstream | `proxy::upstreams::a_refusal_…` |
//! | 43 | either side closes, resets, half-closes | the other sees the same | `proxy::tunnels::an_end_of_…`, `a_reset_by_…` |
//! | 44 | hop-by-hop headers, forged `X-Forwarded-For` | removed; appended to | `proxy::forwarding::the_upstream_sees_…` |
//! | 45 | one side does not read | the other is stopped | `proxy::tunnels::a_side_that_does_not_read_…` |
//! | 46 | a log that nobody reads, a closed one, a full disk | nothing stops; lost lines are counted | `stderr::…` |
//! | 47 | a signal to stop twice within 500 ms | one drain | `ending::two_signals_…` |
//! | 48 | a peer of `stall`, `deaf`, `wait`, `noreply`, `delay` has gone | its place is free | `scenario::left::…` |
//! | 49 | 50 peers that make work: fragments, bursts, empty messages, Pings, requests, frames of HTTP/2 | others stay quick | `fairness::peers_that_make_work_…`; by polls in `session::tests::turns` |
//! | 50 | 1,500 uploads of 1 MB, abandoned at once | memory falls to twice that of idle sessions in 15 s | `memory::…` |
//! | 51 | a stop past every timeout, answers waiting in the socket | no live peer is given up | `pause::…`; by a paused clock in `session::tests::pause` |
//! | 52 | files, name servers and Unix sockets that block | exit in time, a word at the start | `ending::a_reload_…`, `a_start_…`, `a_name_server_…`, `a_unix_socket_…` |
//! | 53 | a request, then the end of the client's side | its answer | `mistakes::a_client_that_half_closes_…`; slow upstreams in `proxy::half_close::…`; TLS in `tls::sessions::a_client_that_half_closes_gets_…` |
//! | 54 | tunnel: one side does not read, the other is gone | both sockets gone in time | `proxy::standstill::a_reset_is_passed_on_…`, `a_side_that_does_not_read_…`, `a_reset_of_a_stream_…` |
//! | 55 | POST to an upstream that never reads | 504, and its socket gone | `proxy::standstill::an_upload_that_…` |
//! | 56 | a body without a length with any method, over HTTP/2 too | forwarded, chunked | `proxy::messages::any_method_…`, `proxy::http2::any_method_…` |
//! | 57 | the upstream closes a kept connection at the next request | GET: once more; POST: 502, sent once | `proxy::messages::safe_requests_…`, `unsafe_requests_…` |
//! | 58 | an upstream with HTTP/1.0, endless 1xx, 103 before the answer | our version; 502; passed on | `proxy::interim::…` |
//! | 59 | TLS to a plain port, plain HTTP to a TLS port, a client without trust, a PROXY line, no HTTP; odd queries | an answer, a line; accepted | `mistakes::…`, `tls::handshake::bytes_that_are_no_tls_…`, `a_client_that_does_not_trust_…`, `a_flood_…` |
//! | 60 | secrets in headers and `who` | redacted | `scenario::handshake::the_step_who_shows_secrets_…` |
//! | 61 | a balancer that sends no PROXY header, part of one, or a broken one; one from anybody else | an answer, a line | `balancers::the_log_has_…`, `a_header_from_anybody_else_…`, `serve::proxy_protocol::tests` |
//! | 62 | an address that a client makes up, in `X-Forwarded-For` or `Forwarded` | not believed | `balancers::forwarded_addresses_…`, `http::forwarded::tests` |

#[cfg(unix)]
mod ending;
#[cfg(target_os = "linux")]
mod fairness;
mod flow;
mod frames;
mod handshake;
mod lifecycle;
#[cfg(target_os = "linux")]
mod memory;
mod mistakes;
#[cfg(target_os = "linux")]
mod pause;
#[cfg(target_os = "linux")]
pub mod process;
#[cfg(unix)]
mod stderr;
