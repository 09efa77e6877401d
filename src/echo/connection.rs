//! One connection, from accept to close: TLS, HTTP, then perhaps a session, or over HTTP/2 several, and
//! an orderly end of TCP.

use std::future::ready;
use std::sync::Arc;

use futures_util::future::Either;
use tokio::io::AsyncWriteExt;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::pending::PendingSession;
use super::routes::{Reply, Routes, Upgrade};
use super::whole::{self, First};
use crate::config::ServerConfig;
use crate::http::exchange::Exchange;
use crate::http::http1::{self, Ended, Served};
use crate::http::http2::{self, Pings};
use crate::http::preface::Rewound;
use crate::http::response::head_bytes;
use crate::net::linger::linger;
use crate::net::listen::{Peer, Stream};
use crate::runtime::deadline::{GRACE, timeout_at};
use crate::runtime::places::Places;
use crate::runtime::shutdown::Drain;
use crate::runtime::tasks::Stage;
use crate::scenario::Turns;
use crate::serve::entry::{Entered, Entry, Visit};
use crate::telemetry::metrics::Metrics;
use crate::tls::{Acceptor, MaybeTls};

/// Serves WebSocket connections: what every connection of one server shares.
#[derive(Debug)]
pub(crate) struct EchoService {
    config: Arc<ServerConfig>,
    entry: Entry,
    /// For sessions.
    places: Places,
    metrics: Arc<Metrics>,
    turns: Arc<Turns>,
}

impl EchoService {
    pub(crate) fn new(
        config: ServerConfig,
        tls: Option<Arc<Acceptor>>,
        mut metrics: Metrics,
    ) -> Self {
        let entry = Entry::new(tls, config.h2c, config.handshake_timeout);
        metrics.show_rejects(entry.rejects());
        Self {
            entry,
            places: Places::new(config.max_connections),
            config: Arc::new(config),
            metrics: Arc::new(metrics),
            turns: Arc::default(),
        }
    }

    /// Sessions that run.
    pub(crate) fn sessions(&self) -> usize {
        self.places.taken()
    }

    /// Serves one connection to its end. `opening` is given back once it is a session.
    pub(crate) fn serve(
        self: Arc<Self>,
        stream: Stream,
        peer: Peer,
        opening: OwnedSemaphorePermit,
        drain: Drain,
    ) -> Stage {
        let visit = self.entry.visit(peer, opening, drain);
        Stage::new(self.open(stream, visit))
    }

    async fn open(self: Arc<Self>, stream: Stream, mut visit: Visit) -> Option<Stage> {
        match self.entry.enter(stream, &mut visit).await {
            Entered::Http1(stream) => self.open_http1(stream, visit).await,
            Entered::Http2(stream) => Some(self.open_http2(stream, visit)),
            Entered::Refused(stream) => Some(Stage::last(linger(stream))),
            Entered::Over => None,
        }
    }

    async fn open_http1(&self, stream: Rewound<MaybeTls>, visit: Visit) -> Option<Stage> {
        let routes = self.routes(&visit);
        let first = whole::read(stream, &routes, visit.deadline, &visit.drain);
        let stream = match first.await {
            First::Upgrade(stream, early, upgrade) => {
                return self.session(stream, early, upgrade, visit).await;
            }
            First::Other(stream) => stream,
        };
        let (terms, caller) = (self.entry.terms(&visit), visit.caller);
        let handler = move |request| ready(routes.reply(&request, caller).into());
        // Boxed, for most upgrades have no need of it.
        let served = Box::pin(http1::serve(stream, handler, terms, visit.drain.clone()));
        let Served {
            stream,
            early,
            ended,
        } = served.await;
        match ended {
            Ended::Upgraded(upgrade) => self.session(stream, early, upgrade, visit).await,
            Ended::Late => None,
            Ended::Answered | Ended::Failed => Some(Stage::last(linger(stream))),
        }
    }

    /// Accepts an upgrade, unless its answer is the session's to send, and begins that.
    async fn session(
        &self,
        mut stream: MaybeTls,
        early: Vec<u8>,
        upgrade: Box<Upgrade>,
        visit: Visit,
    ) -> Option<Stage> {
        let pending = PendingSession {
            upgrade,
            config: Arc::clone(&self.config),
            metrics: Arc::clone(&self.metrics),
            begun_at: visit.accepted_at,
            drain: visit.drain,
            caller: visit.caller,
        };
        if pending.is_faulty() {
            return Some(Stage::last(pending.misbehave_over_http1(stream, early)));
        }
        let head = head_bytes(&pending.response());
        let sent = async {
            stream.write_all(&head).await?;
            stream.flush().await
        };
        let limit = visit.deadline.max(Instant::now() + GRACE);
        match timeout_at(limit, sent).await {
            Ok(Ok(())) => Some(Stage::last(pending.converse(stream, early))),
            _ => None,
        }
    }

    fn open_http2(&self, stream: Rewound<MaybeTls>, visit: Visit) -> Stage {
        let terms = self.entry.terms(&visit);
        let pings = self.config.ping_interval.map(|interval| Pings {
            interval,
            timeout: self.config.ping_timeout,
        });
        let routes = self.routes(&visit);
        let (config, drain) = (Arc::clone(&self.config), visit.drain.clone());
        let metrics = Arc::clone(&self.metrics);
        let mut permit = Some(visit.opening);
        let handle = move |exchange: Exchange| {
            let caller = exchange.caller;
            match routes.reply(&exchange.request, caller) {
                Reply::Answer(answer) | Reply::Refusal(answer) => {
                    exchange.answer(answer);
                    None
                }
                Reply::Session(upgrade) => {
                    drop(permit.take());
                    let pending = PendingSession {
                        upgrade,
                        config: Arc::clone(&config),
                        metrics: Arc::clone(&metrics),
                        begun_at: exchange.begun_at,
                        drain: drain.clone(),
                        caller,
                    };
                    if pending.is_faulty() {
                        // Boxed, for an ordinary session to have no room for it.
                        let session = Box::pin(pending.misbehave_over_http2(exchange));
                        return Some(Either::Right(session));
                    }
                    let stream = exchange.accept(&pending.response())?;
                    let session = pending.converse(stream, Vec::new());
                    Some(Either::Left(session))
                }
            }
        };
        Stage::last(http2::serve(stream, terms, pings, visit.drain, handle))
    }

    fn routes(&self, visit: &Visit) -> Routes {
        Routes::new(
            Arc::clone(&self.config),
            self.places.clone(),
            Arc::clone(&self.metrics),
            visit.drain.clone(),
            Arc::clone(&self.turns),
        )
    }
}
