//! A connection, with or without TLS.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::ProtocolVersion;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::client::TlsStream;

use super::HTTP2;
use super::server::ServerStream;
use crate::net::connection_info::TlsVersion;
use crate::net::stream::{Stream, delegate_read, delegate_write};
use crate::net::transport::{Hangup, Transport};

/// A connection, with or without TLS.
#[derive(Debug)]
pub(crate) enum MaybeTls {
    Plain(Stream),
    /// Boxed, so that a connection without TLS takes no more memory.
    Server(Box<ServerStream<Stream>>),
    /// As a client, with rustls' own connection.
    Client(Box<TlsStream<Stream>>),
}

impl MaybeTls {
    /// The version of TLS, if there is TLS.
    pub(crate) fn version(&self) -> Option<TlsVersion> {
        match self {
            Self::Plain(_) => None,
            Self::Server(stream) => Some(stream.version()),
            Self::Client(stream) => match stream.get_ref().1.protocol_version()? {
                ProtocolVersion::TLSv1_2 => Some(TlsVersion::Tls12),
                // The only other version that rustls speaks.
                _ => Some(TlsVersion::Tls13),
            },
        }
    }

    fn socket(&self) -> &Stream {
        match self {
            Self::Plain(stream) => stream,
            Self::Server(stream) => stream.get_ref(),
            Self::Client(stream) => stream.get_ref().0,
        }
    }

    /// Whether ALPN selected HTTP/2 (RFC 7301).
    pub(crate) fn is_http2(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Server(stream) => stream.is_http2(),
            Self::Client(stream) => stream.get_ref().1.alpn_protocol() == Some(HTTP2),
        }
    }
}

impl Transport for MaybeTls {
    fn reset(self) {
        match self {
            Self::Plain(stream) => stream.reset(),
            Self::Server(stream) => stream.into_inner().reset(),
            Self::Client(stream) => stream.into_inner().0.reset(),
        }
    }

    fn reset_on_drop(&self) {
        self.socket().reset_on_drop();
    }

    fn linger_at_most(&self, limit: Duration) {
        self.socket().linger_at_most(limit);
    }

    fn poll_hangup(&mut self, cx: &mut Context<'_>) -> Poll<Hangup> {
        match self {
            Self::Plain(stream) => stream.poll_hangup(cx),
            Self::Server(stream) => stream.get_mut().poll_hangup(cx),
            Self::Client(stream) => stream.get_mut().0.poll_hangup(cx),
        }
    }

    fn drains_by_short_read(&self) -> bool {
        !matches!(self, Self::Client(_))
    }

    fn unsent(&self) -> usize {
        match self {
            Self::Server(stream) => stream.unsent(),
            Self::Plain(_) | Self::Client(_) => 0,
        }
    }

    fn poll_write_last(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_last(cx, bytes),
            Self::Server(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Client(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }
}

impl AsyncRead for MaybeTls {
    delegate_read! {
        Self::Plain(stream) => stream,
        Self::Server(stream) => stream,
        Self::Client(stream) => stream,
    }
}

impl AsyncWrite for MaybeTls {
    delegate_write! {
        Self::Plain(stream) => stream,
        Self::Server(stream) => stream,
        Self::Client(stream) => stream,
    }
}

#[cfg(test)]
mod tests {
    use std::mem::size_of;

    use super::*;

    #[test]
    fn a_plain_connection_takes_no_room_for_tls() {
        assert_eq!(size_of::<MaybeTls>(), size_of::<Stream>());
    }
}
