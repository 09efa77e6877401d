//! A test server for a test that is not async: it runs in a thread of its own.
//!
//! ```
//! use echobeat::testing::blocking::TestServer;
//! # use std::error::Error;
//! # use std::io::{Read, Write};
//! # use std::net::TcpStream;
//!
//! # fn main() -> Result<(), Box<dyn Error>> {
//! let server = TestServer::start()?;
//! # let mut tcp = TcpStream::connect(server.address())?;
//! # write!(tcp, "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
//! #     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")?;
//! # tcp.write_all(&[0x81, 0x82, 0, 0, 0, 0, b'h', b'i'])?;
//! // A client connects to server.url() and sends "hi".
//! let mut connection = server.connection()?;
//! assert_eq!(connection.next_message()?, "hi");
//! # Ok(())
//! # }
//! ```

use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::{self, Handle};
use tokio::sync::oneshot;

use super::{Cut, Error, Message, Verdict};
use crate::config::ServerConfig;

/// A [test server](super::TestServer) for a test that is not async. It ends when it is dropped.
///
/// Its methods block, and so must not be called by an async test.
#[derive(Debug)]
pub struct TestServer {
    /// Dropped before its thread.
    server: super::TestServer,
    host: Arc<Host>,
}

impl TestServer {
    /// Starts a server with the defaults.
    ///
    /// # Errors
    /// When no thread can be started, or no port listened on.
    pub fn start() -> Result<Self, Error> {
        Self::builder().start()
    }

    /// Settings of a server that is to be started.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// [URL](super::TestServer::url) for a client.
    #[must_use]
    pub fn url(&self) -> &str {
        self.server.url()
    }

    /// URL for a client with which the server misbehaves, in
    /// [these steps](super::TestServer::url_with).
    #[must_use]
    pub fn url_with(&self, steps: impl Display) -> String {
        self.server.url_with(steps)
    }

    /// Address that the server listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// All connections that have been opened, in their order. Some may be closed by now.
    #[must_use]
    pub fn connections(&self) -> Vec<Connection> {
        let connections = self.server.connections().into_iter();
        connections
            .map(|connection| self.follow(connection))
            .collect()
    }

    /// Waits for the [next connection](super::TestServer::connection).
    ///
    /// # Errors
    /// When the deadline passes.
    pub fn connection(&self) -> Result<Connection, Error> {
        let connection = self.host.runtime.block_on(self.server.connection())?;
        Ok(self.follow(connection))
    }

    /// [Stops](super::TestServer::stop) the server in good order.
    pub fn stop(self) {
        self.host.runtime.block_on(self.server.stop());
    }

    fn follow(&self, connection: super::Connection) -> Connection {
        let host = Arc::clone(&self.host);
        Connection { connection, host }
    }
}

/// Settings of a [`TestServer`] that is to be started.
#[derive(Debug, Clone, Default)]
pub struct Builder(super::Builder);

impl Builder {
    /// [Settings](super::Builder::config) of the server.
    #[must_use]
    pub fn config(self, config: ServerConfig) -> Self {
        Self(self.0.config(config))
    }

    /// Interval of the heart beat, a text message. By default there is none.
    #[must_use]
    pub fn heartbeat(self, interval: Option<Duration>) -> Self {
        Self(self.0.heartbeat(interval))
    }

    /// Time that everything has that is waited for: 5 seconds by default.
    #[must_use]
    pub fn deadline(self, deadline: Duration) -> Self {
        Self(self.0.deadline(deadline))
    }

    /// Starts the server in a thread of its own.
    ///
    /// # Errors
    /// When no thread can be started, no port listened on, or the server is to have a part that was
    /// not built.
    pub fn start(self) -> Result<TestServer, Error> {
        let host = Host::start()?;
        let server = host.runtime.block_on(self.0.start())?;
        let host = Arc::new(host);
        Ok(TestServer { server, host })
    }
}

/// A [connection](super::Connection) of a client.
#[derive(Debug)]
pub struct Connection {
    connection: super::Connection,
    /// The thread of the server, which goes on for as long as it may be waited for.
    host: Arc<Host>,
}

impl Connection {
    /// Name of the connection: the parameter `id` of its URL, or else a unique one.
    #[must_use]
    pub fn id(&self) -> &str {
        self.connection.id()
    }

    /// Path that the client asked for.
    #[must_use]
    pub fn path(&self) -> &str {
        self.connection.path()
    }

    /// Query of the URL that the client asked for.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.connection.query()
    }

    /// Subprotocol that was agreed on.
    #[must_use]
    pub fn subprotocol(&self) -> Option<&str> {
        self.connection.subprotocol()
    }

    /// [Header lines](super::Connection::headers) of the client's request.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.connection.headers()
    }

    /// Whether the session goes on.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.connection.is_open()
    }

    /// Waits for the [next message](super::Connection::next_message) that the client sends.
    ///
    /// # Errors
    /// When the deadline passes, the session ends before, or messages are not kept any more.
    pub fn next_message(&mut self) -> Result<Message, Error> {
        self.host.runtime.block_on(self.connection.next_message())
    }

    /// Sends a message to the client, which need not have sent one. Pushes arrive in their order.
    ///
    /// # Errors
    /// When the session is over, or the client does not read what was pushed before.
    pub fn push(&self, message: impl Into<Message>) -> Result<(), Error> {
        self.connection.push(message)
    }

    /// [Closes](super::Connection::close) the connection with this code and reason.
    ///
    /// # Errors
    /// When the session is over, or this may not be sent.
    pub fn close(&self, code: u16, reason: &str) -> Result<(), Error> {
        self.connection.close(code, reason)
    }

    /// Ends the connection at once, without a Close.
    ///
    /// # Errors
    /// When the session is over.
    pub fn cut(&self, cut: Cut) -> Result<(), Error> {
        self.connection.cut(cut)
    }

    /// Waits until the session is over and TCP has [ended](super::Connection::ended).
    ///
    /// # Errors
    /// When the deadline passes.
    pub fn ended(&self) -> Result<Verdict, Error> {
        self.host.runtime.block_on(self.connection.ended())
    }
}

/// The thread of a server, with a runtime of its own. It ends when this is dropped.
#[derive(Debug)]
struct Host {
    runtime: Handle,
    /// Dropped, it ends the runtime. Both are taken when this is dropped.
    thread: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Host {
    fn start() -> Result<Self, Error> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(Error::Thread)?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let run = move || runtime.block_on(async { drop(stopped.await) });
        let thread = thread::Builder::new().name("echobeat".to_owned());
        let thread = thread.spawn(run).map_err(Error::Thread)?;
        Ok(Self {
            runtime: handle,
            thread: Some((stop, thread)),
        })
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.thread.take() {
            drop(stop);
            // A panic there has been reported.
            let _ = thread.join();
        }
    }
}
