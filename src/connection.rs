//! One connection, from accept to close: the [way in](crate::entry), HTTP, then perhaps a session, or
//! over HTTP/2 several, then an orderly end of TCP.

mod faulty;

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::Either;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tracing::info;

use crate::close::Parting;
use crate::config::{ServerConfig, Subprotocol};
use crate::entry::{Entered, Entry, Visit};
use crate::http::exchange::Exchange;
use crate::http::http1::{self, Answers, Ended, Remains};
use crate::http::http2::{self, Pings};
use crate::http::preface::Rewound;
use crate::http::redact::loggable;
use crate::http::whole::{self, Beginning};
use crate::http::{Reply, Routes, Upgrade};
use crate::linger::linger;
use crate::listen::{Caller, Peer, Stream};
use crate::metrics::{Metrics, SessionGuard};
use crate::places::{Place, Places};
use crate::scenario::Turns;
use crate::session::{self, Report};
use crate::shutdown::Drain;
use crate::tasks::Stage;
use crate::tls::{Acceptor, MaybeTls};
use crate::wire::Transport;

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
        let beginning = whole::accept(stream, &routes, visit.deadline, visit.drain.clone());
        let stream = match beginning.await {
            Beginning::Session(stream, early, upgrade) => {
                return Some(self.session(stream, early, upgrade, visit));
            }
            Beginning::Other(stream) => stream,
            Beginning::Lost => return None,
        };
        let terms = self.entry.terms(&visit);
        let answers = Answers::new(routes, visit.caller);
        let progress = answers.progress();
        let served = http1::serve(stream, &answers, progress, terms, visit.drain.clone());
        // Boxed, for most upgrades have no need of it.
        let Remains {
            stream,
            early,
            ended,
        } = Box::pin(served).await;
        match (ended, answers.take_accepted()) {
            (Ended::Well, Some(upgrade)) => Some(self.session(stream, early, upgrade, visit)),
            (Ended::Late, _) => None,
            _ => Some(Stage::last(linger(stream))),
        }
    }

    /// The session that an upgrade was accepted for.
    fn session(
        &self,
        stream: MaybeTls,
        early: Vec<u8>,
        upgrade: Box<Upgrade>,
        visit: Visit,
    ) -> Stage {
        let Visit {
            caller,
            accepted_at,
            drain,
            ..
        } = visit;
        let opening = Opening {
            upgrade,
            config: Arc::clone(&self.config),
            metrics: Arc::clone(&self.metrics),
            begun_at: accepted_at,
            drain,
            caller,
        };
        match opening.is_faulty() {
            true => Stage::last(opening.misbehave_over_http1(stream, early)),
            false => Stage::last(opening.converse(stream, early)),
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
                Reply::Answer(answer) => {
                    exchange.answer(answer);
                    None
                }
                Reply::Session(answer, upgrade) => {
                    drop(permit.take());
                    let opening = Opening {
                        upgrade,
                        config: Arc::clone(&config),
                        metrics: Arc::clone(&metrics),
                        begun_at: exchange.begun_at,
                        drain: drain.clone(),
                        caller,
                    };
                    if opening.is_faulty() {
                        // Boxed, for an ordinary session to have no room for it.
                        let session = Box::pin(opening.misbehave_over_http2(exchange));
                        return Some(Either::Right(session));
                    }
                    let stream = exchange.accept(&answer)?;
                    let session = opening.converse(stream, Vec::new());
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

/// A session that is to begin.
struct Opening {
    upgrade: Box<Upgrade>,
    config: Arc<ServerConfig>,
    metrics: Arc<Metrics>,
    /// When its handshake began.
    begun_at: Instant,
    drain: Drain,
    caller: Caller,
}

impl Opening {
    /// Whether the session is to misbehave.
    fn is_faulty(&self) -> bool {
        !self.upgrade.handshake.scenario.is_default()
    }

    /// Counts and logs that it begins.
    fn begin(&self) -> SessionGuard {
        let guard = self.metrics.begin(self.caller, self.begun_at.elapsed());
        log_open(self.caller, &self.upgrade);
        guard
    }

    /// Runs a session by the book, to the end of its stream.
    fn converse<S: Transport>(self, stream: S, early: Vec<u8>) -> impl Future<Output = ()> {
        let guard = self.begin();
        let place = self.upgrade.place;
        let session = session::run(
            stream,
            &early,
            self.config,
            self.metrics,
            &self.drain,
            self.caller,
        );
        // No async block: it would have room for the session twice.
        session.then(move |(report, stream)| {
            drop(guard);
            part(stream, report, place)
        })
    }
}

/// Leaves the stream of a session in the way that its end asks for.
async fn part<S: Transport>(stream: S, report: Report, _until_the_end: Place) {
    match report.parting {
        Parting::Linger => Box::pin(linger(stream)).await,
        Parting::Drop => {}
        Parting::Reset => stream.reset(),
    }
}

fn log_open(caller: Caller, upgrade: &Upgrade) {
    let Upgrade {
        path, handshake, ..
    } = upgrade;
    let subprotocol = handshake.subprotocol.as_ref().map(Subprotocol::as_str);
    let subprotocol = subprotocol.map(loggable);
    let scenario = &handshake.scenario;
    let scenario = (!scenario.is_default()).then(|| scenario.to_string());
    match &handshake.passed_over {
        None => info!(parent: &caller.span(), path, subprotocol, r#do = scenario, "open"),
        // A browser fails such a connection, and does not say why.
        Some(offered) => {
            let offered: Vec<_> = offered.split(", ").map(loggable).collect();
            let offered = offered.join(", ");
            let message = "open, without a subprotocol";
            info!(parent: &caller.span(), path, offered, r#do = scenario, "{message}");
        }
    }
}
