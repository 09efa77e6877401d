//! HTTP/2 (RFC 9113): many requests on a connection, each of which may become a session (RFC 8441).
//!
//! The connection and its sessions are one task. So a session costs no task of its own, and the
//! answers to all that one read brought go out in one write.
//!
//! h2 is used directly, because hyper's upgraded stream cannot be reset, and has a task, a channel
//! and a copy of the bytes written to it.
//!
//! | room | purpose |
//! |---|---|
//! | [`exchange`] | one request, and the way to answer it |
//! | [`cooperative`] | a connection that yields to others |
//! | [`stream`] | a stream as a session sees it |

mod cooperative;
pub(crate) mod exchange;
pub(crate) mod stream;

use std::future::pending;
use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use h2::server;
use h2::{Ping, PingPong};
use hyper::body::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::debug;

use crate::http::{DRAIN_GRACE, HttpContext};
use crate::runtime::deadline::{timeout, timeout_at};
use crate::runtime::shutdown::Drain;
use cooperative::Cooperative;
use exchange::Exchange;
pub(crate) use h2::ext::Protocol;

/// Streams that are open on a connection at the same time. "No smaller than 100" is what RFC 9113,
/// section 6.5.2, recommends.
const MAX_STREAMS: u32 = 100;

/// Most bytes that a stream may have sent while its session has not read them.
const STREAM_WINDOW: u32 = 256 << 10;

/// Most such bytes of a whole connection: enough for all its streams, so that a stream that is not
/// read does not stop the others.
const CONNECTION_WINDOW: u32 = MAX_STREAMS * STREAM_WINDOW;

/// Most bytes that a session may have written while TCP has not taken them.
const SEND_BUFFER: usize = 256 << 10;

/// Most bytes of a head, as HTTP/2 counts them: 32 for each line on top of its own. A head may have
/// no more lines than over HTTP/1.1, and h2 answers a larger one with 431.
const MAX_HEAD: u32 = (16 << 10) + 64 * 32;

/// Settings of PINGs, which ask whether the peer is still there (RFC 9113, section 6.7).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pings {
    /// Time between two PINGs.
    pub(crate) interval: Duration,
    /// Time that an answer has.
    pub(crate) timeout: Duration,
}

/// Serves the requests on `stream` until it ends. `handle` answers a request at once, or returns a
/// future that goes on with it.
pub(crate) async fn serve<S, H, F>(
    stream: S,
    context: HttpContext,
    pings: Option<Pings>,
    drain: Drain,
    handle: H,
) where
    S: AsyncRead + AsyncWrite + Unpin,
    H: FnMut(Exchange) -> Option<F>,
    F: Future<Output = ()>,
{
    let handshake = server::Builder::new()
        .enable_connect_protocol()
        .max_concurrent_streams(MAX_STREAMS)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .max_header_list_size(MAX_HEAD)
        .handshake(Cooperative::new(stream));
    match timeout_at(context.first_by, handshake).await {
        Ok(Ok(h2)) => Box::pin(run(h2, context, pings, &drain, handle)).await,
        Ok(Err(error)) => {
            if error.is_io() {
                context.note_silence();
            }
            debug!(parent: &context.info.span(), %error, "no HTTP/2");
        }
        Err(_late) => debug!(parent: &context.info.span(), "no HTTP/2 in time"),
    }
}

async fn run<S, H, F>(
    mut h2: server::Connection<Cooperative<S>, Bytes>,
    context: HttpContext,
    pings: Option<Pings>,
    drain: &Drain,
    mut handle: H,
) where
    S: AsyncRead + AsyncWrite + Unpin,
    H: FnMut(Exchange) -> Option<F>,
    F: Future<Output = ()>,
{
    let mut exchanges = FuturesUnordered::new();
    let mut draining = pin!(drain.begun());
    let mut dead = pin!(keepalive(h2.ping_pong(), pings));
    let mut deadline = pin!(sleep_until(context.first_by));
    let mut patience = context.patience;
    let mut closing = false;
    let why = loop {
        tokio::select! {
            Some(()) = exchanges.next() => {}
            accepted = h2.accept() => match accepted {
                Some(Ok(accepted)) => exchanges.extend(handle(Exchange::new(accepted, context.info))),
                Some(Err(error)) => break error.to_string(),
                None => break "the peer has closed it".to_owned(),
            },
            Dead = &mut dead => break "no answer to PING".to_owned(),
            _ = &mut draining, if !closing => {
                (closing, patience) = (true, DRAIN_GRACE);
                h2.graceful_shutdown();
            }
            () = &mut deadline, if exchanges.is_empty() => {
                if closing {
                    break "no request in time".to_owned();
                }
                (closing, patience) = (true, DRAIN_GRACE);
                h2.graceful_shutdown();
            }
        }
        deadline.as_mut().reset(Instant::now() + patience);
    };
    debug!(parent: &context.info.span(), why, "connection ends");
    drop(h2);
    // The exchanges learn of it when they read or write.
    while exchanges.next().await.is_some() {}
}

/// End of a connection whose peer does not answer a PING.
struct Dead;

/// Sends a PING at every interval, until one is not answered in time.
async fn keepalive(ping_pong: Option<PingPong>, pings: Option<Pings>) -> Dead {
    let (
        Some(mut ping_pong),
        Some(Pings {
            interval,
            timeout: limit,
        }),
    ) = (ping_pong, pings)
    else {
        return pending().await;
    };
    loop {
        sleep(interval).await;
        let answered = ping_pong.ping(Ping::opaque());
        // An error is the connection's, which will end with it by itself.
        if timeout(limit, answered).await.is_err() {
            return Dead;
        }
    }
}
