//! An upgrade whose head came whole, in the first read: it is accepted here, without what it takes
//! to read heads in pieces, and bodies, and one request after another. All else is hyper's, to read
//! again and to answer, refusals and scenarios too.

use std::future::poll_fn;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Poll, ready};

use httparse::Status;
use hyper::body::Bytes;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Uri};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::preface::Rewound;
use super::{Routes, Upgrade};
use crate::handshake;
use crate::scenario::Turns;
use crate::shutdown::Drain;

/// Most bytes of a head that is accepted here. Those of browsers have some 500, without cookies.
const HEAD: usize = 2 << 10;

/// Most header lines of it. Browsers send some 15.
const LINES: usize = 32;

/// What a connection begins with.
pub(crate) enum Beginning<S> {
    /// An upgrade, which is accepted: the 101 is sent. Behind the head came these bytes.
    Session(S, Vec<u8>, Box<Upgrade>),
    /// Anything else: nothing of it has been answered.
    Other(Rewound<S>),
    /// A peer that does not take the 101.
    Lost,
}

/// Waits for the first bytes, and accepts the upgrade that they are, if so it is.
pub(crate) async fn accept<S>(
    mut stream: Rewound<S>,
    routes: &Routes,
    deadline: Instant,
    drain: Drain,
) -> Beginning<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let read = tokio::select! {
        biased;
        read = first_bytes(&mut stream) => read,
        // Lateness and the drain are for hyper to see in its turn.
        () = sleep_until(deadline) => Bytes::new(),
        _ = drain.begun() => Bytes::new(),
    };
    let Some((answer, upgrade, head)) = answer(&read, routes) else {
        return Beginning::Other(stream.rewind(&read));
    };
    let sent = async {
        stream.write_all(answer.as_bytes()).await?;
        stream.flush().await
    };
    match timeout_at(deadline, sent).await {
        Ok(Ok(())) => {
            let (stream, unread) = stream.into_parts();
            Beginning::Session(stream, [&read[head..], &unread].concat(), upgrade)
        }
        _ => Beginning::Lost,
    }
}

/// What the first read brings: nothing at the end, nor where it fails, which hyper then meets.
async fn first_bytes(stream: &mut (impl AsyncRead + Unpin)) -> Bytes {
    poll_fn(|cx| {
        // On the stack, for what is kept to be no larger than what came.
        let mut space = [const { MaybeUninit::uninit() }; HEAD];
        let mut read = ReadBuf::uninit(&mut space);
        let _ = ready!(Pin::new(&mut *stream).poll_read(cx, &mut read));
        Poll::Ready(Bytes::copy_from_slice(read.filled()))
    })
    .await
}

/// The head of the 101, what it accepts, and the length of the head that it answers.
fn answer(read: &Bytes, routes: &Routes) -> Option<(String, Box<Upgrade>, usize)> {
    let (request, length) = parse(read)?;
    if !handshake::is_asked_for(&request) {
        return None;
    }
    let handshake = routes.negotiate(&request).ok()?;
    if !handshake.scenario.is_default() {
        return None;
    }
    let upgrade = routes.accept(handshake, &request, Turns::draw).ok()?;
    Some((upgrade.handshake.switching_protocols()?, upgrade, length))
}

/// The request that `read` begins with, and the length of its head: if that is whole, of HTTP/1.1,
/// and of ordinary size. The parts are made as hyper makes them.
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

    use tokio::io::{AsyncReadExt, duplex};

    use super::*;
    use crate::config::ServerConfig;
    use crate::places::Places;
    use crate::shutdown::Shutdown;

    const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

    /// What becomes of a connection whose first read has these bytes, at a server with room for
    /// so many sessions: what is left to read of it, and what the peer gets.
    async fn begin(read: &str, places: usize, shutdown: &Shutdown) -> (bool, Vec<u8>, Vec<u8>) {
        let (mut client, server) = duplex(64 << 10);
        client.write_all(read.as_bytes()).await.unwrap();
        let routes = Routes::new(
            Arc::new(ServerConfig::default()),
            Places::new(places),
            Arc::default(),
            shutdown.subscribe(),
            Arc::default(),
        );
        let deadline = Instant::now() + Duration::from_secs(1);
        let stream = Rewound::fresh(server);
        let begun = accept(stream, &routes, deadline, shutdown.subscribe()).await;
        let (is_session, unread) = match begun {
            Beginning::Session(stream, early, _) => {
                drop(stream);
                (true, early)
            }
            Beginning::Other(mut stream) => {
                client.shutdown().await.unwrap();
                let mut unread = Vec::new();
                stream.read_to_end(&mut unread).await.unwrap();
                (false, unread)
            }
            Beginning::Lost => panic!("the peer takes what it gets"),
        };
        let mut sent = Vec::new();
        client.read_to_end(&mut sent).await.unwrap();
        (is_session, unread, sent)
    }

    #[tokio::test]
    async fn a_whole_upgrade_is_accepted_and_what_is_behind_it_is_kept() {
        for behind in ["", "\u{1}frame"] {
            let read = UPGRADE.to_owned() + behind;
            let (is_session, early, sent) = begin(&read, 1, &Shutdown::new()).await;
            assert!(is_session);
            assert_eq!(early, behind.as_bytes());
            assert!(sent.starts_with(b"HTTP/1.1 101 ") && sent.ends_with(b"\r\n\r\n"));
        }
    }

    #[tokio::test]
    async fn other_requests_are_left_unanswered_with_no_byte_lost() {
        let long = format!("X-Long: {}\r\nHost:", "x".repeat(HEAD));
        let draining = Shutdown::new();
        draining.begin(Duration::ZERO, 0);
        let running = Shutdown::new();
        for (read, places, shutdown) in [
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
            let (is_session, unread, sent) = begin(read, places, shutdown).await;
            assert!(!is_session, "{read}");
            assert_eq!(String::from_utf8_lossy(&unread), read);
            assert!(sent.is_empty(), "{read}");
        }
    }
}
