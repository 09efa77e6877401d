//! Detection of the version of HTTP on a cleartext connection: HTTP/2 with prior knowledge begins
//! with a preface that is no request of HTTP/1.1 (RFC 9113, sections 3.3 and 3.4).

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::net::stream::Prefixed;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Answer to a peer that begins with the preface where only HTTP/1.1 is spoken: SETTINGS, with
/// which every server begins, and GOAWAY with HTTP_1_1_REQUIRED and a sentence (RFC 9113, sections
/// 6.5, 6.8 and 7).
pub(super) const HTTP_1_1_REQUIRED: &[u8] = b"\0\0\0\x04\0\0\0\0\0\
    \0\0\x3a\x07\0\0\0\0\0\
    \0\0\0\0\0\0\0\x0d\
    HTTP/2 is spoken here over TLS, or else with --h2c";

/// Reads until it is clear whether the peer begins with the preface of HTTP/2, and says so. The
/// stream that is returned has all bytes, those read here too.
///
/// # Errors
/// When the stream cannot be read.
pub(crate) async fn peek<S>(mut stream: S) -> io::Result<(bool, Prefixed<S>)>
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
    Ok((read == PREFACE, Prefixed::new(read, stream)))
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use tokio::io::ReadBuf;

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
