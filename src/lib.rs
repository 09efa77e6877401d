//! An async WebSocket echo and push server: every text and binary message comes back, and the text
//! message `heart beat` arrives every three seconds.
//!
//! The binary is for people with a client, a proxy or a library to test; its manual is the README.
//! The library is for tests in Rust: [`Server::bind`] on port 0, and [`Server::serve`] in a task.
//!
//! # The map
//!
//! A connection moves forward through these rooms, and never back:
//!
//! ```text
//! accept ── TLS ── HTTP head, route ── upgrade handshake ── session: reader ⇄ writer ── close
//! server    tls    http                handshake            session                      close
//! ```
//!
//! | module | purpose |
//! |---|---|
//! | [`cli`] | the command line, validated into a [`ServerConfig`] or a [`ProxyConfig`] |
//! | [`logging`] | log lines to stderr |
//! | `config`, `address` | what a server or a proxy is told, and where it listens |
//! | `server` | the echo server |
//! | `accept` | what is listened on, the accept loop, and the drain that ends it |
//! | `listen` | listening sockets, which survive errors of `accept` |
//! | `connection` | one connection from accept to close, and its two log lines |
//! | `entry` | what comes before HTTP: TLS, and which version of HTTP follows |
//! | `tls` | the certificate, and connections with or without TLS |
//! | `http` | HTTP/1.1 and HTTP/2, routes and plain answers |
//! | `handshake` | from a request to its acceptance or the refusal, a pure function |
//! | `scenario` | faults on demand, as plain data |
//! | `session` | echo, heart beat, keepalive, backpressure |
//! | `frames` | where frames and messages end |
//! | `turn` | what a session may do before others have their turn |
//! | `wire` | the socket, and when it was last heard of |
//! | `close` | every end of a session: its close code, its word, its way out of TCP |
//! | `proxy` | the reverse proxy |
//! | `metrics` | what is counted, and its exposition for Prometheus |
//! | `reject` | connections that are turned away before a request is understood |
//! | `places` | how many sessions, or tunnels, there may be |
//! | `tasks` | the tasks of connections, until the last has ended |
//! | `deadline` | deadlines that a stop of the process does not make pass |
//! | `linger` | the orderly end of a connection |
//! | `shutdown` | the signal that begins the drain |
//! | [`platform`] | all that differs between operating systems |
//! | `fuzzing` | what the fuzz targets reach of all this, under `--cfg fuzzing` |

pub mod cli;
mod config;
mod echo;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod handshake;
mod http;
mod net;
pub mod platform;
mod proxy;
mod runtime;
mod scenario;
mod serve;
mod session;
mod telemetry;
mod tls;
mod ws;

pub use config::{
    CertificateSource, Origin, ProxyConfig, ServerConfig, SettingError, UpgradePath, Upstream,
    UpstreamError, UpstreamHost, UpstreamHostError,
};
pub use echo::Server;
pub use net::address::{Address, AddressError, BindError, Endpoint, UnixAddress};
pub use proxy::Proxy;
pub use scenario::{Scenario, ScenarioError};
pub use serve::accept::StartError;
pub use telemetry::logging;
pub use tls::{Acceptor, TlsError};
pub use ws::subprotocol::{Subprotocol, SubprotocolError};
