//! A connection, with or without TLS.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::ProtocolVersion;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsStream;

use super::HTTP2;
use crate::net::connection_info::TlsVersion;
use crate::net::stream::{Stream, delegate_read, delegate_write};
use crate::net::transport::{Hangup, Transport};

/// A connection, with or without TLS.
#[derive(Debug)]
pub(crate) enum MaybeTls {
    Plain(Stream),
    /// Boxed, so that a connection without TLS takes no more memory.
    Tls(Box<TlsStream<Stream>>),
}

impl MaybeTls {
    /// The version of TLS, if there is TLS.
    pub(crate) fn version(&self) -> Option<TlsVersion> {
        let Self::Tls(stream) = self else {
            return None;
        };
        let (_, session) = stream.get_ref();
        match session.protocol_version()? {
            ProtocolVersion::TLSv1_2 => Some(TlsVersion::Tls12),
            // The only other version that rustls speaks.
            _ => Some(TlsVersion::Tls13),
        }
    }

    fn socket(&self) -> &Stream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }

    /// Whether ALPN selected HTTP/2 (RFC 7301).
    pub(crate) fn is_http2(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(stream) => stream.get_ref().1.alpn_protocol() == Some(HTTP2),
        }
    }
}

impl Transport for MaybeTls {
    fn reset(self) {
        match self {
            Self::Plain(stream) => stream.reset(),
            Self::Tls(stream) => match *stream {
                TlsStream::Client(stream) => stream.into_inner().0.reset(),
                TlsStream::Server(stream) => stream.into_inner().0.reset(),
            },
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
            Self::Tls(stream) => stream.get_mut().0.poll_hangup(cx),
        }
    }

    fn drains_by_short_read(&self) -> bool {
        matches!(self, Self::Plain(_))
    }

    fn poll_write_last(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_last(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }
}

impl AsyncRead for MaybeTls {
    delegate_read! {
        Self::Plain(stream) => stream,
        Self::Tls(stream) => stream,
    }
}

impl AsyncWrite for MaybeTls {
    delegate_write! {
        Self::Plain(stream) => stream,
        Self::Tls(stream) => stream,
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
