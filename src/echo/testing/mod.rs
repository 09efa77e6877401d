//! A server for tests in Rust, which says what it has seen of the client.
//!
//! A test starts a [`TestServer`] and has its client connect to the [`url`](TestServer::url). The
//! server echoes every message. The test waits for the [`Connection`], for its
//! [messages](Connection::next_message), and for the [`Verdict`] on its end. It can
//! [push](Connection::push) messages, [close](Connection::close) the connection and
//! [cut](Connection::cut) it. [Faults](TestServer::url_with) are asked for by the URL.
//!
//! ```
//! use echobeat::testing::TestServer;
//! use futures_util::SinkExt;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = TestServer::start().await?;
//! # let tcp = tokio::net::TcpStream::connect(server.address()).await?;
//! # let connect_async = |url: &str| tokio_tungstenite::client_async(url.to_owned(), tcp);
//! let (mut client, _) = connect_async(server.url()).await?;
//! client.send("hello".into()).await?;
//!
//! let mut connection = server.connection().await?;
//! assert_eq!(connection.next_message().await?, "hello");
//! # Ok(())
//! # }
//! ```
//!
//! Nothing waits longer than the [deadline](Builder::deadline), which is 5 seconds by default. In a
//! test that is not async, use [`blocking::TestServer`].
//!
//! It takes few packages if the other parts of echobeat are left out:
//!
//! ```toml
//! [dev-dependencies]
//! echobeat = { version = "0.1", default-features = false }
//! ```

pub mod blocking;
mod builder;
mod connection;
mod error;
mod message;
mod verdict;

use std::fmt::Display;
use std::net::SocketAddr;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::registry::Registry;
use crate::registry::follow::Cursor;
pub use builder::Builder;
pub use connection::{Connection, Cut};
pub use error::Error;
pub use message::Message;
pub use verdict::{Close, Side, TcpEnd, Verdict};

/// Characters that a query need not encode, so that its steps can be read.
const IN_QUERY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b':')
    .remove(b',')
    .remove(b'@')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_');

/// An echo server on a free port of this machine, for the test of a client. When it is dropped, it
/// and all its connections end at once.
///
/// By default it sends no heart beats, so that a client gets nothing but its echoes.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use echobeat::TestServer;
///
/// let server = TestServer::start().await?;
/// assert!(server.url().starts_with("ws://127.0.0.1:"));
/// assert!(server.connections().is_empty());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct TestServer {
    url: String,
    address: SocketAddr,
    registry: Registry,
    /// Connections that [`connection`](Self::connection) has returned.
    returned: Cursor,
    deadline: Duration,
    stop: oneshot::Sender<()>,
    /// The server's task, which is aborted when this is dropped.
    running: JoinSet<()>,
}

impl TestServer {
    /// Starts a server with the defaults.
    ///
    /// # Errors
    /// When no port can be listened on.
    pub async fn start() -> Result<Self, Error> {
        Self::builder().start().await
    }

    /// Settings of a server that is to be started.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// URL for a client, such as `ws://127.0.0.1:41952/`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// URL for a client with which the server misbehaves, in these steps. They are those of the
    /// parameter `do`, such as `close:4001:bye@3msg`, and may be a [`Scenario`](crate::Scenario).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = echobeat::TestServer::start().await?;
    /// let url = server.url_with("rst@2s");
    /// assert_eq!(url, format!("{}?do=rst@2s", server.url()));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn url_with(&self, steps: impl Display) -> String {
        let steps = steps.to_string();
        format!("{}?do={}", self.url, utf8_percent_encode(&steps, IN_QUERY))
    }

    /// Address that the server listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// All connections that have been opened, in their order. Some may be closed by now.
    #[must_use]
    pub fn connections(&self) -> Vec<Connection> {
        let opened = self.registry.opened().into_iter();
        opened.map(|opened| self.follow(opened)).collect()
    }

    /// Waits for the next connection: each call returns another, in the order in which they were
    /// opened. An upgrade that was refused is no connection.
    ///
    /// # Errors
    /// When the deadline passes.
    pub async fn connection(&self) -> Result<Connection, Error> {
        let opened = self.registry.next_opened(&self.returned);
        match tokio::time::timeout(self.deadline, opened).await {
            Ok(opened) => Ok(self.follow(opened)),
            Err(_late) => Err(Error::Deadline {
                deadline: self.deadline,
                wanted: "the next connection".to_owned(),
                found: match self.registry.opened().len() {
                    0 => "no client has connected".to_owned(),
                    1 => "the only one so far had been returned before".to_owned(),
                    n => format!("the {n} so far had been returned before"),
                },
            }),
        }
    }

    /// Stops the server: every session is closed with 1001. Returns once all have ended, or the time
    /// for that ([`ServerConfig::drain`](crate::ServerConfig::drain)) is up.
    pub async fn stop(mut self) {
        drop(self.stop);
        // A panic of the server's task has been reported by the runtime.
        let _ = self.running.join_next().await;
    }

    fn follow(&self, opened: crate::registry::follow::Opened) -> Connection {
        Connection::new(self.registry.clone(), opened, self.deadline)
    }
}
