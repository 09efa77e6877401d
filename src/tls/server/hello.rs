//! Reading the ClientHello before the handshake, for a server that has more than one way to answer.

use std::io;
use std::task::Poll;

use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::handshake::{LONGEST_MESSAGE, PIECE};

/// Reads until the ClientHello is whole. Returns all bytes that were read, for the handshake to
/// begin with, and the name that the client has for this server (RFC 6066, section 3). There is no
/// name if the stream ends before, or if this is no ClientHello: the handshake says so.
pub(in crate::tls) async fn read_hello<S>(stream: &mut S) -> io::Result<(Vec<u8>, Option<String>)>
where
    S: AsyncRead + Unpin,
{
    let mut read = Vec::new();
    let mut acceptor = Acceptor::default();
    while read.len() <= LONGEST_MESSAGE {
        let start = read.len();
        read.reserve(PIECE);
        if stream.read_buf(&mut read).await? == 0 {
            break;
        }
        if let Poll::Ready(name) = name(&mut acceptor, &read[start..]) {
            return Ok((read, name));
        }
    }
    Ok((read, None))
}

/// Looks for the name in these bytes, which follow those before. It is pending as long as the
/// ClientHello is not whole.
fn name(acceptor: &mut Acceptor, mut bytes: &[u8]) -> Poll<Option<String>> {
    while !bytes.is_empty() {
        if acceptor.read_tls(&mut bytes).is_err() {
            return Poll::Ready(None);
        }
        match acceptor.accept() {
            Ok(None) => {}
            Ok(Some(accepted)) => {
                let name = accepted.client_hello().server_name().map(str::to_owned);
                return Poll::Ready(name);
            }
            Err(_wrong) => return Poll::Ready(None),
        }
    }
    Poll::Pending
}
