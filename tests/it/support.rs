//! The vocabulary of the tests: a server on a free port, good clients, and bad ones.

use std::net::SocketAddr;
use std::time::Duration;

use echobeat::{Server, ServerConfig};
use echobeat_frames::{CLOSE, text_echo, text_frame};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};

/// Everything that a test waits for must come within this.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The header lines of a good upgrade, each with its end.
pub const UPGRADE: &str = "Host: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// A whole request with a good upgrade.
pub fn upgrade_request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\n{UPGRADE}\r\n")
}

/// Waits, but not for ever.
pub async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(PATIENCE, what).await.expect("it happens in time")
}

/// Waits until something holds that no event tells of, so that it has to be asked for.
pub async fn until(mut holds: impl AsyncFnMut() -> bool) {
    let held = async {
        while !holds().await {
            sleep(Duration::from_millis(10)).await;
        }
    };
    soon(held).await;
}

/// A server on a free port of this machine, stopped with the test.
pub struct TestServer {
    pub address: SocketAddr,
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
}

/// The defaults, but without heart beats: tests that want them say so.
pub fn config() -> ServerConfig {
    ServerConfig {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        heartbeat: None,
        ..ServerConfig::default()
    }
}

impl TestServer {
    pub async fn start() -> Self {
        Self::start_with(config()).await
    }

    pub async fn start_with(config: ServerConfig) -> Self {
        Self::run(Server::bind(config).await.expect("a free port"))
    }

    /// Runs a server that is bound.
    pub fn run(server: Server) -> Self {
        let address = server.endpoints()[0].socket_addr().expect("TCP");
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(server.serve(async { drop(stopped.await) }));
        Self {
            address,
            stop,
            running,
        }
    }

    /// A good client.
    pub async fn connect(&self) -> Client {
        self.try_connect().await.expect("the server upgrades")
    }

    pub async fn try_connect(&self) -> Result<Client, Error> {
        let url = format!("ws://{}/wshandler", self.address);
        let stream = self.raw().await.stream;
        Client::over(stream, url).await
    }

    /// A client that says what it wants.
    pub async fn raw(&self) -> Raw {
        Raw::connect(self.address).await
    }

    /// A client that says what it wants, with the 101 behind it.
    pub async fn raw_session(&self) -> Raw {
        Raw::session(self.address).await
    }

    /// A connection that echoes all the while.
    pub async fn control(&self) -> Control {
        Control::start(self.address).await
    }

    /// The answer to one request on a connection of its own.
    pub async fn ask(&self, request: impl AsRef<[u8]>) -> Response {
        let mut raw = self.raw().await;
        raw.send(request).await;
        raw.response().await
    }

    /// Begins the drain.
    pub fn stop(self) -> JoinHandle<()> {
        drop(self.stop);
        self.running
    }
}

/// A good client: tokio-tungstenite's.
pub struct Client<S = TcpStream> {
    pub socket: WebSocketStream<S>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// Upgrades `stream`.
    pub async fn over(stream: S, url: String) -> Result<Self, Error> {
        let (socket, _) = soon(tokio_tungstenite::client_async(url, stream)).await?;
        Ok(Self { socket })
    }

    pub async fn send(&mut self, message: impl Into<Message>) {
        soon(self.socket.send(message.into()))
            .await
            .expect("the server reads");
    }

    pub async fn next(&mut self) -> Message {
        let message = soon(self.socket.next()).await;
        message
            .expect("the session goes on")
            .expect("the session is sound")
    }

    /// Sends a message, and expects it back.
    pub async fn echo(&mut self, message: impl Into<Message>) {
        let message = message.into();
        self.send(message.clone()).await;
        assert!(self.next().await == message, "the echo differs");
    }

    /// Sends messages up to the largest that is allowed by default, and expects each back.
    pub async fn echo_every_size(&mut self) {
        for size in [0, 1, 125, 126, 65_535, 65_536, 1 << 20, 16 << 20] {
            self.echo("é".repeat(size / 2)).await;
            self.echo((0..=255).cycle().take(size).collect::<Vec<u8>>())
                .await;
        }
    }

    /// Sends a thousand messages before it reads any, and expects them back in order.
    pub async fn echo_in_order(&mut self) {
        for n in 0..1_000 {
            self.send(format!("message {n}")).await;
        }
        for n in 0..1_000 {
            assert_eq!(self.next().await, format!("message {n}").into());
        }
    }

    /// Expects Close, answers it, and expects the end of the stream.
    pub async fn expect_close(mut self) -> Option<CloseFrame> {
        let Message::Close(frame) = self.next().await else {
            panic!("Close was expected");
        };
        let end = soon(self.socket.next()).await;
        assert!(end.is_none(), "after Close: {end:?}");
        frame
    }

    /// Closes, and expects the same code back.
    pub async fn close(mut self, frame: CloseFrame) {
        soon(self.socket.close(Some(frame.clone())))
            .await
            .expect("the server reads");
        let answer = self.expect_close().await.expect("a code");
        assert_eq!(answer.code, frame.code);
    }
}

/// A connection that echoes for as long as something else goes wrong.
pub struct Control {
    stop: oneshot::Sender<()>,
    echoing: JoinHandle<Duration>,
}

impl Control {
    /// Echoes over a connection of its own to `address`.
    pub async fn start(address: SocketAddr) -> Self {
        Self::over(Raw::connect(address).await).await
    }

    /// Echoes over `raw`.
    pub async fn over<S>(mut raw: Raw<S>) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        raw.send(upgrade_request("/control")).await;
        assert_eq!(raw.head().await.status, 101);
        Self::of_session(raw)
    }

    /// Echoes in a session that has begun.
    pub fn of_session<S>(mut raw: Raw<S>) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (stop, mut stopped) = oneshot::channel();
        let echoing = tokio::spawn(async move {
            let mut slowest = Duration::ZERO;
            while stopped.try_recv().is_err() {
                let begun = Instant::now();
                raw.send(text_frame("control")).await;
                assert_eq!(raw.read(9).await, text_echo("control"));
                slowest = slowest.max(begun.elapsed());
                sleep(Duration::from_millis(1)).await;
            }
            slowest
        });
        Self { stop, echoing }
    }

    /// Expects that it still echoes, and says how long the slowest echo took.
    pub async fn finish(self, fault: &str) {
        self.stop
            .send(())
            .expect("the control connection still echoes");
        let slowest = soon(self.echoing)
            .await
            .expect("the control connection echoed");
        println!("{fault}: slowest echo of the control connection {slowest:?}");
    }
}

/// A client that sends bytes and reads bytes.
pub struct Raw<S = TcpStream> {
    pub stream: S,
}

/// An HTTP response.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Response {
    /// The value of a header that stands once.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }
}

impl Raw {
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = soon(TcpStream::connect(address))
            .await
            .expect("the server listens");
        Self { stream }
    }

    /// A session, whose 101 has been read.
    pub async fn session(address: SocketAddr) -> Self {
        let mut raw = Self::connect(address).await;
        raw.send(upgrade_request("/")).await;
        assert_eq!(raw.head().await.status, 101);
        raw
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Raw<S> {
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        soon(self.stream.write_all(bytes.as_ref()))
            .await
            .expect("the server reads");
    }

    pub async fn read(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        soon(self.stream.read_exact(&mut bytes))
            .await
            .expect("the server writes");
        bytes
    }

    /// Reads to the end of the stream, and expects no reset there.
    pub async fn rest(mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        soon(self.stream.read_to_end(&mut bytes))
            .await
            .expect("an orderly end");
        bytes
    }

    /// Expects Close with `code` and a reason, whole, and then an orderly end: nothing else.
    pub async fn expect_close(self, code: u16) {
        let rest = self.rest().await;
        let [CLOSE, length, high, low, reason @ ..] = &rest[..] else {
            panic!("Close {code} was expected, not {rest:x?}");
        };
        assert_eq!(u16::from_be_bytes([*high, *low]), code, "{rest:x?}");
        assert_eq!(usize::from(*length), 2 + reason.len(), "{rest:x?}");
        std::str::from_utf8(reason).expect("a reason in UTF-8");
    }

    /// Reads the head of a response.
    pub async fn head(&mut self) -> Response {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(soon(self.stream.read_u8()).await.expect("a response"));
        }
        let head = String::from_utf8(head).expect("ASCII");
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        Response {
            status: status.expect("a status"),
            head,
            body: String::new(),
        }
    }

    /// Asks the server for the value of a metric, by its name and labels.
    pub async fn metric(&mut self, name: &str) -> u64 {
        self.send("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await;
        let exposition = self.response().await.body;
        let mut values = exposition
            .lines()
            .filter_map(|line| line.strip_prefix(name));
        let value = values.find_map(|value| value.strip_prefix(' '));
        value.expect("it is counted").parse().expect("a number")
    }

    /// Waits until a metric has at least this value.
    pub async fn counts(&mut self, name: &str, least: u64) {
        until(async || self.metric(name).await >= least).await;
    }

    /// Reads a response whose length is given.
    pub async fn response(&mut self) -> Response {
        let mut response = self.head().await;
        if let Some(length) = response.header("Content-Length") {
            let body = self.read(length.parse().expect("a length")).await;
            response.body = String::from_utf8(body).expect("UTF-8");
        }
        response
    }
}
