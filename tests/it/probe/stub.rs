//! A server with habits of its own, which shares no code with the probe.

use std::net::SocketAddr;
use std::time::Duration;

use echobeat_frames::{
    BINARY, CLOSE, Frame, PING, PONG, TEXT, close_frame, server_frame, split_frame,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// The silence that the server does not bear.
pub(super) const SILENCE: Duration = Duration::from_millis(700);

/// Answer of the server to a silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    Never,
    Fin,
    Rst,
    Close,
    /// It forgets the connection, as a NAT does, and tells nobody.
    Forget,
}

/// Habits of a server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Habits {
    pub(super) cut: Cut,
    pub(super) echoes: bool,
    pub(super) answers_pings: bool,
    /// Whether it changes the texts that it sends back.
    pub(super) changes: bool,
}

impl Default for Habits {
    fn default() -> Self {
        Self {
            cut: Cut::Never,
            echoes: true,
            answers_pings: true,
            changes: false,
        }
    }
}

/// A server, stopped with the test.
pub(super) struct Stub {
    pub(super) address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Stub {
    pub(super) async fn start(habits: Habits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, habits));
            }
        });
        Self { address, serving }
    }

    pub(super) fn url(&self) -> String {
        format!("ws://{}/", self.address)
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(mut stream: TcpStream, habits: Habits) {
    accept(&mut stream).await;
    let (mut input, mut message) = (Vec::new(), Vec::new());
    let mut last = Instant::now();
    loop {
        while let Some((frame, rest)) = split_frame(&input) {
            let rest = rest.len();
            // A NAT has forgotten the connection when the next packet comes.
            if habits.cut == Cut::Forget && last.elapsed() > SILENCE {
                return stay_deaf(stream).await;
            }
            last = Instant::now();
            if answer(&mut stream, &frame, &mut message, habits).await {
                return;
            }
            input.drain(..input.len() - rest);
        }
        let read = stream.read_buf(&mut input);
        let read = match habits.cut {
            Cut::Never | Cut::Forget => read.await,
            cut => match timeout(SILENCE, read).await {
                Ok(read) => read,
                Err(_silent) => return end(stream, cut).await,
            },
        };
        if !matches!(read, Ok(1..)) {
            return;
        }
    }
}

/// Reads a request, and accepts it.
pub(super) async fn accept(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_gone) => break,
        }
    }
    let head = String::from_utf8(head).expect("ASCII");
    let keys = head
        .lines()
        .filter_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
    let accept: String = keys.map(|key| derive_accept_key(key.as_bytes())).collect();
    let response = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    let _ = stream.write_all(response.as_bytes()).await;
    head
}

/// Answers a frame. Returns whether that was the last one.
async fn answer(
    stream: &mut TcpStream,
    frame: &Frame<'_>,
    message: &mut Vec<u8>,
    habits: Habits,
) -> bool {
    let payload = frame.unmasked();
    let answer = match frame.header.first {
        CLOSE => server_frame(CLOSE, &payload),
        PING if habits.answers_pings => server_frame(PONG, &payload),
        PING | PONG => return false,
        TEXT | BINARY if habits.changes => {
            server_frame(frame.header.first, &payload.to_ascii_uppercase_but_for(23))
        }
        TEXT | BINARY if habits.echoes => server_frame(frame.header.first, &payload),
        TEXT | BINARY => return false,
        // Fragments, of a text.
        first => {
            message.extend(payload);
            if first & 0x80 == 0 || !habits.echoes {
                return false;
            }
            server_frame(TEXT, &std::mem::take(message))
        }
    };
    let written = stream.write_all(&answer).await;
    frame.header.first == CLOSE || written.is_err()
}

trait Uppercase {
    /// These bytes in upper case, but for the first ones.
    fn to_ascii_uppercase_but_for(&self, first: usize) -> Vec<u8>;
}

impl Uppercase for Vec<u8> {
    fn to_ascii_uppercase_but_for(&self, first: usize) -> Vec<u8> {
        let mut changed = self.clone();
        let first = first.min(changed.len());
        changed[first..].make_ascii_uppercase();
        changed
    }
}

async fn end(mut stream: TcpStream, cut: Cut) {
    match cut {
        Cut::Rst => {
            let _ = stream.set_zero_linger();
        }
        Cut::Close => {
            let close = close_frame(4000, b"too silent");
            let (frame, _) = split_frame(&close).expect("a frame");
            let payload = frame.unmasked();
            let _ = stream.write_all(&server_frame(CLOSE, &payload)).await;
        }
        Cut::Fin | Cut::Never | Cut::Forget => {}
    }
}

/// Reads, and answers nothing.
async fn stay_deaf(mut stream: TcpStream) {
    let mut input = [0; 1_000];
    while let Ok(1..) = stream.read(&mut input).await {}
}
