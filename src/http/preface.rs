//! Which version of HTTP a cleartext connection speaks: HTTP/2 with prior knowledge begins with a
//! preface that is no request of HTTP/1.1 (RFC 9113, sections 3.3 and 3.4).

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What is said to a peer that begins with the preface where HTTP/1.1 alone is spoken: SETTINGS, with
/// which every server begins, and GOAWAY with HTTP_1_1_REQUIRED and a sentence (RFC 9113, sections
/// 6.5, 6.8 and 7).
pub(super) const HTTP_1_1_REQUIRED: &[u8] = b"\0\0\0\x04\0\0\0\0\0\
    \0\0\x3a\x07\0\0\0\0\0\
    \0\0\0\0\0\0\0\x0d\
    HTTP/2 is spoken here over TLS, or else with --h2c";

/// Reads until it is clear whether the peer begins with the preface of HTTP/2, and says so. What was
/// read is read again from what is returned.
///
/// # Errors
/// When the stream cannot be read.
pub(crate) async fn peek<S>(mut stream: S) -> io::Result<(bool, Rewound<S>)>
where
    S: AsyncRead + Unpin,
{
    let mut read = Vec::with_capacity(PREFACE.len());
    while read.len() < PREFACE.len() && PREFACE.starts_with(&read) {
        let left = (PREFACE.len() - read.len()) as u64;
        if (&mut stream).take(left).read_buf(&mut read).await? == 0 {
            break;
        }
    }
    Ok((read == PREFACE, Rewound { read, stream }))
}

/// A stream of which something was read that is to be read again.
#[derive(Debug)]
pub(crate) struct Rewound<S> {
    /// What is still to be read again.
    read: Vec<u8>,
    stream: S,
}

impl<S> Rewound<S> {
    /// A stream of which nothing was read.
    pub(crate) fn fresh(stream: S) -> Self {
        let read = Vec::new();
        Self { read, stream }
    }

    /// The same in another wrapping, which passes bytes on as they are.
    pub(crate) fn map<T>(self, wrap: impl FnOnce(S) -> T) -> Rewound<T> {
        Rewound {
            read: self.read,
            stream: wrap(self.stream),
        }
    }

    /// The stream as it was before `read` was read from it.
    pub(crate) fn rewind(mut self, read: &[u8]) -> Self {
        self.read.splice(..0, read.iter().copied());
        self
    }

    /// The stream itself, and what of it was read and is not read again yet.
    pub(crate) fn into_parts(self) -> (S, Vec<u8>) {
        (self.stream, self.read)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Rewound<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let again = self.read.len().min(buf.remaining());
        buf.put_slice(&self.read[..again]);
        self.read.drain(..again);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Rewound<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream that has one byte at each read.
    struct OneByOne<'a>(&'a [u8]);

    impl AsyncRead for OneByOne<'_> {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            if let Some((first, rest)) = self.0.split_first() {
                buf.put_slice(&[*first]);
                self.0 = rest;
            }
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn the_preface_is_told_from_requests_and_nothing_is_lost() {
        let with_settings = [PREFACE, &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat();
        for (bytes, is_http2) in [
            (&with_settings[..], true),
            (PREFACE, true),
            (&PREFACE[..23], false),
            (b"", false),
            (b"GET / HTTP/1.1\r\n\r\n", false),
            (b"PRI / HTTP/1.1\r\n\r\n", false),
            (b"P", false),
        ] {
            let (found, mut rewound) = peek(OneByOne(bytes)).await.unwrap();
            let mut again = Vec::new();
            rewound.read_to_end(&mut again).await.unwrap();
            assert_eq!((found, &again[..]), (is_http2, bytes));
        }
    }
}
