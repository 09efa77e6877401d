//! A WebSocket server to test against: every text and binary message comes back, and it misbehaves
//! when it is asked to.
//!
//! # In a test
//!
//! [`TestServer`] is for the test of a WebSocket client. It listens on a free port of this machine,
//! echoes what the client sends, and says what it has seen. [`testing`] has more about it, also for
//! tests that are not async.
//!
//! ```
//! # async fn connect_and_say(_url: &str, _text: &str) {}
//! use echobeat::TestServer;
//!
//! # async fn test() -> Result<(), echobeat::testing::Error> {
//! let server = TestServer::start().await?;
//! connect_and_say(server.url(), "hello").await; // the client
//! let mut connection = server.connection().await?;
//! assert_eq!(connection.next_message().await?, "hello");
//! # Ok(())
//! # }
//! ```
//!
//! # As a server
//!
//! [`Server::bind`] listens, by the settings of a [`ServerConfig`], and [`Server::serve`] serves until
//! it is told to stop. `Proxy` is a reverse proxy in the same way. The program `echobeat` is made of
//! these; its manual is the README.
//!
//! # Features
//!
//! All are on by default. Without any, there is an echo server for `ws://` with its faults, which is
//! what a test needs: `default-features = false`.
//!
//! - `api`: the HTTP API ([`ServerConfig::api`])
//! - `cli`: the program, with its command line, log, signals and page; names of groups, and of
//!   origins that are not ASCII; and what load balancers say of their clients
//!   ([`ServerConfig::proxy_protocol`])
//! - `http2`: HTTP/2, over TLS and without it ([`ServerConfig::h2c`])
//! - `metrics`: `GET /metrics`
//! - `nats`: many nodes as one, over NATS ([`ServerConfig::cluster`]), which takes a C compiler to build
//! - `probe`: the client that examines a WebSocket, for the program
//! - `proxy`: the reverse proxy
//! - `simd`: the longest vectors of the processor, for large messages
//! - `tls`: TLS ([`ServerConfig::tls`]), which takes a C compiler to build
//! - `full`: all of these
//! - `jemalloc`: the allocator of the program on Linux, which takes `make` to build
//!
//! A server that is to have a part that was not built [does not start](StartError::NotBuilt).
//!
//! # The map
//!
//! A connection moves forward through these rooms, and never back:
//!
//! ```text
//! accept ─── TLS, version of HTTP ─── request ─── upgrade ─── session ─── teardown
//! serve      serve, tls               http        handshake   session     echo
//! ```
//!
//! | module | purpose |
//! |---|---|
//! | `cli` | the command line, validated into a configuration |
//! | `fuzzing` | the parts that the fuzz targets reach, under `--cfg fuzzing` |
//! | `echo` | the echo server: its connections, routes and page |
//! | `proxy` | the reverse proxy |
//! | `probe` | a client that examines a WebSocket, and what lies between |
//! | `serve` | what both share: the accept loop, the drain, TLS, the version of HTTP, and the API |
//! | `session` | echo, heart beat, keepalive, backpressure, and sessions that misbehave |
//! | `registry` | connections as the API shows them, the pushes to them, and other nodes with theirs |
//! | `handshake` | from a request to its acceptance or refusal, a pure function |
//! | `http` | HTTP/1.1 and HTTP/2, for whoever answers the requests |
//! | `tls` | certificates, and connections with or without TLS |
//! | `telemetry` | log lines and metrics |
//! | `config` | settings of a server, a proxy or a probe, validated |
//! | `scenario` | faults on demand, as plain data |
//! | `ws` | frames, subprotocols, and every end of a session |
//! | `net` | addresses, listening sockets, and streams |
//! | `runtime` | tasks and their end, limits, budgets, and time |
//! | `platform` | all that differs between operating systems |
//!
//! Modules import only from those below them in this table.

// What other features use is not looked for in builds without them, and a stand-in for a type may be
// the same as another.
#![cfg_attr(
    not(feature = "full"),
    allow(clippy::useless_conversion, dead_code, unused_imports)
)]

#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
mod config;
mod echo;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod handshake;
mod http;
mod net;
#[doc(hidden)]
pub mod platform;
#[cfg(any(feature = "cli", feature = "probe"))]
#[cfg_attr(not(feature = "probe"), path = "probe/no_probe.rs")]
#[doc(hidden)]
pub mod probe;
#[cfg(any(feature = "cli", feature = "proxy"))]
#[cfg_attr(not(feature = "proxy"), path = "proxy/no_proxy.rs")]
mod proxy;
mod registry;
mod runtime;
mod scenario;
mod serve;
mod session;
mod telemetry;
#[cfg_attr(not(feature = "tls"), path = "tls/no_tls.rs")]
mod tls;
mod ws;

pub use config::{
    ApiConfig, ApiToken, CertificateSource, ClusterConfig, Compression, NatsUrl, NodeName, Origin,
    Peers, ProxyConfig, ServerConfig, SettingError, SubjectPrefix, UpgradePath, Upstream,
    UpstreamError, UpstreamHost, UpstreamHostError,
};
#[doc(hidden)]
pub use config::{
    Check, Expectation, ExpectationError, HeaderLine, HeaderLineError, HealthConfig, ProbeConfig,
    ProbeUrl, ProbeUrlError, Quantity, Trust,
};
pub use echo::Server;
pub use echo::testing;
pub use echo::testing::TestServer;
pub use net::address::{Address, AddressError, BindError, Endpoint, UnixAddress};
#[cfg(any(feature = "cli", feature = "proxy"))]
pub use proxy::Proxy;
pub use scenario::{Scenario, ScenarioError, TunnelScenario};
pub use serve::accept::StartError;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub use telemetry::logging;
pub use tls::{Acceptor, TlsError};
pub use ws::subprotocol::{Subprotocol, SubprotocolError};
