//! Names of headers as RFC 6455 writes them. hyper knows no name but in lower case, and writes
//! `Sec-Websocket-Key`; some firmware compares names letter by letter.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite};

use crate::net::stream::delegate_read;

/// Beginning of a name as hyper writes it.
const WRITTEN: &[u8] = b"Sec-Websocket-";

/// Position of the letter that the RFC has as a capital.
const LETTER: usize = b"Sec-Web".len();

/// Stream to an upstream while it is written the head of an upgrade.
pub(super) struct WebSocketNames<S> {
    stream: S,
    /// Whether names are changed: those that a client wrote over HTTP/1.1 are kept.
    is_on: bool,
}

impl<S> WebSocketNames<S> {
    pub(super) fn new(stream: S, is_on: bool) -> Self {
        Self { stream, is_on }
    }

    pub(super) fn into_inner(self) -> S {
        self.stream
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WebSocketNames<S> {
    delegate_read!(Self { stream, .. } => stream);
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WebSocketNames<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if !self.is_on {
            return Pin::new(&mut self.stream).poll_write(cx, buf);
        }
        Pin::new(&mut self.stream).poll_write(cx, &renamed(buf))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// The bytes of a head, with the names as the RFC writes them.
fn renamed(head: &[u8]) -> Vec<u8> {
    let mut renamed = head.to_vec();
    for line in renamed.split_mut(|byte| *byte == b'\n') {
        if line.starts_with(WRITTEN) {
            line[LETTER].make_ascii_uppercase();
        }
    }
    renamed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_alone_are_changed() {
        let head =
            b"GET /Sec-Websocket-Key HTTP/1.1\r\nSec-Websocket-Key: Sec-Websocket-Key\r\n\r\n";
        let wanted =
            b"GET /Sec-Websocket-Key HTTP/1.1\r\nSec-WebSocket-Key: Sec-Websocket-Key\r\n\r\n";
        assert_eq!(renamed(head), wanted);
    }
}
