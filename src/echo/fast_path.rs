//! The fast path: an upgrade whose whole head came in the first read is accepted here, without the
//! means to read heads in pieces, bodies, and one request after another. Everything else, refusals
//! and scenarios included, is left to hyper, which reads it again and answers it.

use std::future::poll_fn;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Poll, ready};

use httparse::Status;
use hyper::body::Bytes;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Uri};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Instant, sleep_until};

use super::routes::{Routes, Upgrade};
use crate::handshake;
use crate::net::stream::Prefixed;
use crate::runtime::shutdown::Drain;
use crate::scenario::Occurrences;

/// Most bytes of a head that is accepted here. Browsers send some 500, without cookies.
const HEAD: usize = 2 << 10;

/// Most header lines of such a head. Browsers send some 15.
const LINES: usize = 32;

/// First request of a connection.
pub(crate) enum First<S> {
    /// An upgrade that is accepted, with the bytes that came behind its head.
    Upgrade(S, Vec<u8>, Box<Upgrade>),
    /// Anything else, still to be read.
    Other(Prefixed<S>),
}

/// Waits for the first bytes, and accepts them if they are such an upgrade. The answer is not sent
/// here.
pub(crate) async fn read<S>(
    mut stream: Prefixed<S>,
    routes: &Routes,
    deadline: Instant,
    drain: &Drain,
) -> First<S>
where
    S: AsyncRead + Unpin,
{
    let read = tokio::select! {
        biased;
        read = first_bytes(&mut stream) => read,
        // A late head and the drain are left for hyper to see in its turn.
        () = sleep_until(deadline) => Bytes::new(),
        _ = drain.begun() => Bytes::new(),
    };
    match accept(&read, routes) {
        Some((upgrade, head)) => {
            let (stream, unread) = stream.into_parts();
            First::Upgrade(stream, [&read[head..], &unread].concat(), upgrade)
        }
        None => First::Other(stream.unread(&read)),
    }
}

/// Bytes of the first read: none at the end of the stream or after an error, which hyper meets
/// again.
async fn first_bytes(stream: &mut (impl AsyncRead + Unpin)) -> Bytes {
    poll_fn(|cx| {
        // On the stack, so that no more memory is kept than bytes came.
        let mut space = [const { MaybeUninit::uninit() }; HEAD];
        let mut read = ReadBuf::uninit(&mut space);
        let _ = ready!(Pin::new(&mut *stream).poll_read(cx, &mut read));
        Poll::Ready(Bytes::copy_from_slice(read.filled()))
    })
    .await
}

/// The upgrade in `read`, if it is accepted, and the length of its head.
fn accept(read: &Bytes, routes: &Routes) -> Option<(Box<Upgrade>, usize)> {
    let (request, length) = parse(read)?;
    if !handshake::is_asked_for(&request) {
        return None;
    }
    let handshake = routes.negotiate(&request).ok()?;
    if !handshake.scenario.is_default() {
        return None;
    }
    let upgrade = routes.accept(handshake, &request, Occurrences::draw).ok()?;
    Some((upgrade, length))
}

/// The request that `read` begins with, and the length of its head, if the head is whole, of
/// HTTP/1.1, and of ordinary size. The parts are made as hyper makes them.
fn parse(read: &Bytes) -> Option<(Request<()>, usize)> {
    let mut lines = [httparse::EMPTY_HEADER; LINES];
    let mut head = httparse::Request::new(&mut lines);
    let Ok(Status::Complete(length)) = head.parse(read) else {
        return None;
    };
    let (method, target, Some(1)) = (head.method?, head.path?, head.version) else {
        return None;
    };
    let mut headers = HeaderMap::with_capacity(head.headers.len());
    for line in head.headers {
        let name = HeaderName::from_bytes(line.name.as_bytes()).ok()?;
        let value = HeaderValue::from_maybe_shared(read.slice_ref(line.value)).ok()?;
        headers.append(name, value);
    }
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(method.as_bytes()).ok()?;
    *request.uri_mut() = Uri::from_maybe_shared(read.slice_ref(target.as_bytes())).ok()?;
    *request.headers_mut() = headers;
    Some((request, length))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;
    use crate::config::ServerConfig;
    use crate::runtime::limit::Limit;
    use crate::runtime::shutdown::Shutdown;

    const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

    /// Runs a connection whose first read has these bytes, at a server with room for `limit`
    /// sessions. Returns whether it is an upgrade that is accepted, and the bytes that are left to
    /// read.
    async fn begin(read: &str, limit: usize, shutdown: &Shutdown) -> (bool, Vec<u8>) {
        let (mut client, server) = duplex(64 << 10);
        client.write_all(read.as_bytes()).await.unwrap();
        let routes = Routes::new(
            Arc::new(ServerConfig::default()),
            Limit::new(limit),
            Arc::default(),
            shutdown.subscribe(),
            Arc::default(),
        );
        let deadline = Instant::now() + Duration::from_secs(1);
        let stream = Prefixed::new(Vec::new(), server);
        match super::read(stream, &routes, deadline, &shutdown.subscribe()).await {
            First::Upgrade(_, early, _) => (true, early),
            First::Other(mut stream) => {
                client.shutdown().await.unwrap();
                let mut unread = Vec::new();
                stream.read_to_end(&mut unread).await.unwrap();
                (false, unread)
            }
        }
    }

    #[tokio::test]
    async fn a_whole_upgrade_is_accepted_and_what_is_behind_it_is_kept() {
        for behind in ["", "\u{1}frame"] {
            let read = UPGRADE.to_owned() + behind;
            let (is_session, early) = begin(&read, 1, &Shutdown::new()).await;
            assert!(is_session);
            assert_eq!(early, behind.as_bytes());
        }
    }

    #[tokio::test]
    async fn other_requests_are_left_unanswered_with_no_byte_lost() {
        let long = format!("X-Long: {}\r\nHost:", "x".repeat(HEAD));
        let draining = Shutdown::new();
        draining.begin(Duration::ZERO, 0);
        let running = Shutdown::new();
        for (read, limit, shutdown) in [
            ("", 1, &running),
            (&UPGRADE[..UPGRADE.len() - 1], 1, &running),
            (&UPGRADE.replace("GET", "POST"), 1, &running),
            (&UPGRADE.replace("HTTP/1.1", "HTTP/1.0"), 1, &running),
            (&UPGRADE.replace("Upgrade: websocket\r\n", ""), 1, &running),
            (&UPGRADE.replace("Host:", &long), 1, &running),
            (
                &UPGRADE.replace("Host:", &"X: y\r\n".repeat(LINES)),
                1,
                &running,
            ),
            (&UPGRADE.replace('G', "\0"), 1, &running),
            (&UPGRADE.replace("/ HTTP", "/?do=who HTTP"), 1, &running),
            (UPGRADE, 0, &running),
            (UPGRADE, 1, &draining),
        ] {
            let (is_session, unread) = begin(read, limit, shutdown).await;
            assert!(!is_session, "{read}");
            assert_eq!(String::from_utf8_lossy(&unread), read);
        }
    }
}
