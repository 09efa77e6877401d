//! One connection, from accept to close: TLS if the server speaks it, HTTP, then perhaps a session,
//! or over HTTP/2 several, then an orderly end of TCP.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::FutureExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use tracing::{debug, info};

use crate::close::Parting;
use crate::config::{ServerConfig, Subprotocol};
use crate::http::http1::{self, Answers, Ended, Remains};
use crate::http::http2::{self, Exchange, Terms};
use crate::http::preface::{self, Rewound};
use crate::http::whole::{self, Beginning};
use crate::http::{Reply, Routes, Upgrade};
use crate::linger::linger;
use crate::listen::{Caller, Http, Peer, Stream};
use crate::session::{self, Report};
use crate::shutdown::Drain;
use crate::tls::{Acceptor, MaybeTls};
use crate::wire::Transport;

/// Serves WebSocket connections: what every connection of one server shares.
#[derive(Debug)]
pub(crate) struct EchoService {
    config: Arc<ServerConfig>,
    tls: Option<Arc<Acceptor>>,
    /// One permit for each session that may still begin.
    places: Arc<Semaphore>,
    connections: AtomicU64,
}

impl EchoService {
    pub(crate) fn new(config: ServerConfig, tls: Option<Arc<Acceptor>>) -> Self {
        let places = config.max_connections.min(Semaphore::MAX_PERMITS);
        Self {
            config: Arc::new(config),
            tls,
            places: Arc::new(Semaphore::new(places)),
            connections: AtomicU64::new(0),
        }
    }

    /// Sessions that run.
    pub(crate) fn sessions(&self) -> usize {
        let places = self.config.max_connections.min(Semaphore::MAX_PERMITS);
        places - self.places.available_permits()
    }

    /// Serves one connection to its end. `opening` is given back once it is a session.
    ///
    /// Each stage has a box of its own, which is gone when the next begins: what HTTP takes does
    /// not stay with the session.
    pub(crate) fn serve(
        self: Arc<Self>,
        stream: Stream,
        peer: Peer,
        opening: OwnedSemaphorePermit,
        drain: Drain,
    ) -> impl Future<Output = ()> + Send + use<> {
        let number = self.connections.fetch_add(1, Ordering::Relaxed) + 1;
        let visit = Visit {
            caller: Caller::new(number, peer),
            deadline: Instant::now() + self.config.handshake_timeout,
            opening,
            drain,
        };
        let opened = Box::pin(self.open(stream, visit));
        async move {
            match opened.await {
                Opened::Sessions(sessions) => sessions.await,
                Opened::Answered(stream) => Box::pin(linger(stream)).await,
                Opened::Over => {}
            }
        }
    }

    /// Speaks TLS, if this server does, and HTTP: both must be done by one deadline.
    async fn open(self: Arc<Self>, stream: Stream, mut visit: Visit) -> Opened {
        let stream = match self.secure(stream, &visit).await {
            Ok(stream) => stream,
            Err(failed) => return failed,
        };
        visit.caller.tls = stream.version();
        match self.version(stream, &visit).await {
            Some((true, stream)) => self.open_http2(stream, visit),
            Some((false, stream)) => self.open_http1(stream, visit).await,
            None => Opened::Over,
        }
    }

    /// The TLS handshake. That it fails is the peer's affair, and quiet: anybody may try a port.
    async fn secure(&self, stream: Stream, visit: &Visit) -> Result<MaybeTls, Opened> {
        let Some(tls) = &self.tls else {
            return Ok(MaybeTls::Plain(stream));
        };
        match timeout_at(visit.deadline, tls.accept(stream)).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err((error, stream))) => {
                debug!(parent: &visit.caller.span(), %error, "no TLS handshake");
                // In good order all the same, for our alert to arrive.
                Err(Opened::Answered(MaybeTls::Plain(stream)))
            }
            Err(_late) => {
                debug!(parent: &visit.caller.span(), "no TLS handshake in time");
                Err(Opened::Over)
            }
        }
    }

    /// Whether the peer speaks HTTP/2: TLS has agreed on it, or it begins so where it may.
    async fn version(&self, stream: MaybeTls, visit: &Visit) -> Option<(bool, Rewound<MaybeTls>)> {
        if !self.config.h2c || visit.caller.tls.is_some() {
            return Some((stream.is_http2(), Rewound::fresh(stream)));
        }
        timeout_at(visit.deadline, preface::peek(stream))
            .await
            .ok()?
            .ok()
    }

    async fn open_http1(&self, stream: Rewound<MaybeTls>, visit: Visit) -> Opened {
        let caller = visit.caller.over(Http::One);
        let routes = self.routes(&visit);
        let beginning = whole::accept(stream, &routes, visit.deadline, visit.drain.clone());
        let stream = match beginning.await {
            Beginning::Session(stream, early, upgrade) => {
                return self.session(stream, early, *upgrade, visit, caller);
            }
            Beginning::Other(stream) => stream,
            Beginning::Lost => return Opened::Over,
        };
        let terms = http1::Terms {
            caller,
            first_by: visit.deadline,
            patience: self.config.handshake_timeout,
        };
        let answers = Answers::new(routes, caller);
        let progress = answers.progress();
        let served = http1::serve(stream, &answers, progress, terms, visit.drain.clone());
        // Boxed, for most upgrades have no need of it.
        let Remains {
            stream,
            early,
            ended,
        } = Box::pin(served).await;
        match (ended, answers.take_accepted()) {
            (Ended::Well, Some(upgrade)) => self.session(stream, early, *upgrade, visit, caller),
            (Ended::Late, _) => Opened::Over,
            _ => Opened::Answered(stream),
        }
    }

    /// The session that an upgrade was accepted for.
    fn session(
        &self,
        stream: MaybeTls,
        early: Vec<u8>,
        upgrade: Upgrade,
        visit: Visit,
        caller: Caller,
    ) -> Opened {
        let config = Arc::clone(&self.config);
        let session = converse(stream, early, upgrade, config, visit.drain, caller);
        Opened::Sessions(Box::pin(session))
    }

    fn open_http2(&self, stream: Rewound<MaybeTls>, visit: Visit) -> Opened {
        let terms = Terms {
            caller: visit.caller.over(Http::Two(0)),
            first_by: visit.deadline,
            patience: self.config.handshake_timeout,
            ping_interval: self.config.ping_interval,
            ping_timeout: self.config.ping_timeout,
        };
        let routes = self.routes(&visit);
        let (config, drain) = (Arc::clone(&self.config), visit.drain.clone());
        let mut opening = Some(visit.opening);
        let handle = move |exchange: Exchange| {
            let caller = exchange.caller;
            match routes.reply(&exchange.request, caller) {
                Reply::Answer(answer) => {
                    exchange.answer(answer);
                    None
                }
                Reply::Session(answer, upgrade) => {
                    drop(opening.take());
                    let stream = exchange.accept(&answer)?;
                    let (config, drain) = (Arc::clone(&config), drain.clone());
                    Some(converse(
                        stream,
                        Vec::new(),
                        *upgrade,
                        config,
                        drain,
                        caller,
                    ))
                }
            }
        };
        Opened::Sessions(Box::pin(http2::serve(stream, terms, visit.drain, handle)))
    }

    fn routes(&self, visit: &Visit) -> Routes {
        Routes::new(
            Arc::clone(&self.config),
            Arc::clone(&self.places),
            visit.drain.clone(),
        )
    }
}

/// A connection on its way to sessions.
struct Visit {
    caller: Caller,
    /// When the first request must have arrived.
    deadline: Instant,
    /// Its place among those that are on this way.
    opening: OwnedSemaphorePermit,
    drain: Drain,
}

/// What comes of a connection once HTTP is done.
enum Opened {
    /// Sessions, to the end of their connection.
    Sessions(Pin<Box<dyn Future<Output = ()> + Send>>),
    /// The last answer is sent.
    Answered(MaybeTls),
    /// Nothing.
    Over,
}

/// Runs a session, to the end of its stream.
fn converse<S: Transport>(
    stream: S,
    early: Vec<u8>,
    upgrade: Upgrade,
    config: Arc<ServerConfig>,
    drain: Drain,
    caller: Caller,
) -> impl Future<Output = ()> {
    log_open(caller, &upgrade);
    let place = upgrade.place;
    let session = session::run(stream, &early, config, drain, caller);
    // No async block: it would have room for the session twice.
    session.then(move |(report, stream)| part(stream, report, caller, place))
}

/// Leaves the stream of a session in the way that its end asks for.
async fn part<S: Transport>(
    stream: S,
    report: Report,
    caller: Caller,
    _until_the_end: OwnedSemaphorePermit,
) {
    log_end(caller, &report);
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
    match &handshake.passed_over {
        None => info!(parent: &caller.span(), path, subprotocol, "open"),
        // A browser fails such a connection, and does not say why.
        Some(offered) => {
            info!(parent: &caller.span(), path, offered, "open, without a subprotocol");
        }
    }
}

fn log_end(caller: Caller, report: &Report) {
    let Report {
        end,
        clean,
        received,
        sent,
        lasted,
        ..
    } = report;
    info!(
        parent: &caller.span(),
        why = end.word(),
        code = end.code(),
        clean,
        reason = end.to_string(),
        messages_in = received.messages,
        bytes_in = received.bytes,
        messages_out = sent.messages,
        bytes_out = sent.bytes,
        seconds = lasted.as_millis() as f64 / 1e3,
        "end",
    );
}
