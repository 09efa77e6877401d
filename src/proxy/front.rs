//! One connection of a client, from accept to close: requests that are forwarded, until one of them
//! becomes a tunnel.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tracing::{debug, info};

use super::forward::{Answer, Fault, Forwarder, Switch, never};
use super::tunnel::{self, End, Mouth, Report};
use crate::config::ProxyConfig;
use crate::handshake::Refusal;
use crate::http::http1::{self, Ended, Progress, Remains, Terms};
use crate::http::preface::Rewound;
use crate::http::{close_after, refuse};
use crate::linger::linger;
use crate::listen::{Caller, Http, Peer, Stream};
use crate::shutdown::Drain;
use crate::wire::Transport;

/// What every connection of one proxy shares.
pub(super) struct ProxyService {
    forwarder: Forwarder,
    connections: AtomicU64,
}

impl ProxyService {
    pub(super) fn new(config: ProxyConfig) -> Self {
        Self {
            forwarder: Forwarder::new(config),
            connections: AtomicU64::new(0),
        }
    }

    /// Requests and tunnels that are under way.
    pub(super) fn under_way(&self) -> usize {
        self.forwarder.under_way()
    }

    /// Serves one connection to its end. `opening` is given back once it is a tunnel.
    pub(super) async fn serve(
        self: Arc<Self>,
        stream: Stream,
        peer: Peer,
        opening: OwnedSemaphorePermit,
        drain: Drain,
    ) {
        stream.keep_alive();
        let number = self.connections.fetch_add(1, Ordering::Relaxed) + 1;
        let front = Arc::new(Front {
            caller: Caller::new(number, peer).over(Http::One),
            service: self,
            drain,
            progress: Progress::default(),
            accepted: Mutex::new(None),
        });
        // Boxed, so that what HTTP takes does not stay with a tunnel.
        let remains = Box::pin(front.requests(stream)).await;
        drop(opening);
        let Remains {
            stream,
            early,
            ended,
        } = remains;
        match (ended, front.take_accepted()) {
            (Ended::Well, Some(switch)) => Box::pin(front.tunnel(stream, early, switch)).await,
            (Ended::Late, _) => {}
            _ => Box::pin(linger(stream)).await,
        }
    }
}

/// A connection of a client.
struct Front {
    service: Arc<ProxyService>,
    caller: Caller,
    drain: Drain,
    progress: Progress,
    accepted: Mutex<Option<Switch>>,
}

impl Front {
    async fn requests(self: &Arc<Self>, stream: Stream) -> Remains<Stream> {
        let patience = self.service.forwarder.config().handshake_timeout;
        let terms = Terms {
            caller: self.caller,
            first_by: Instant::now() + patience,
            patience,
        };
        let service = service_fn(|request| {
            let front = Arc::clone(self);
            Box::pin(async move { Ok::<_, Infallible>(front.answer(request).await) })
        });
        let stream = Rewound::fresh(stream);
        http1::serve(stream, service, &self.progress, terms, self.drain.clone()).await
    }

    /// Notes whether this connection is to become a tunnel.
    fn note(&self, switch: Option<Switch>) {
        let mut accepted = self.accepted.lock().unwrap_or_else(PoisonError::into_inner);
        *accepted = switch;
    }

    fn take_accepted(&self) -> Option<Switch> {
        let mut accepted = self.accepted.lock().unwrap_or_else(PoisonError::into_inner);
        accepted.take()
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Answer {
        let under_way = UnderWay::new(&self);
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let forwarder = &self.service.forwarder;
        let answer = match forwarder
            .forward(request, self.caller.peer, &self.drain)
            .await
        {
            Ok((answer, switch)) => {
                self.note(switch);
                answer
            }
            Err(fault) => self.own_answer(fault, &method, &path),
        };
        debug!(parent: &self.caller.span(), %method, path, status = answer.status().as_u16(), "answered");
        // Until the body has gone out.
        answer.map(|body| {
            body.map_frame(move |frame| {
                let _ = &under_way;
                frame
            })
            .boxed_unsync()
        })
    }

    fn own_answer(&self, fault: Fault, method: &Method, path: &str) -> Answer {
        let refusal = match fault {
            Fault::Refused(refusal) => {
                let (status, reason) = (refusal.status.as_u16(), &*refusal.sentence);
                info!(parent: &self.caller.span(), %method, path, status, reason, "refused");
                refusal
            }
            Fault::Failed(failure) => {
                let (status, sentence) = failure.answer();
                let upstream = &self.service.forwarder.config().upstream;
                let (status_code, cause) = (status.as_u16(), failure);
                info!(parent: &self.caller.span(), %method, path, status = status_code, %upstream, %cause, "failed");
                Refusal::new(status, sentence)
            }
        };
        let mut answer = refuse(&refusal).map(|body| Full::new(body).map_err(never).boxed_unsync());
        close_after(&mut answer);
        answer
    }

    /// Runs a tunnel to its end, and leaves both connections as that asks for.
    async fn tunnel(&self, mut client: Stream, early: Vec<u8>, switch: Switch) {
        let Switch {
            path,
            mut upstream,
            early: early_of_upstream,
            place,
        } = switch;
        let config = self.service.forwarder.config();
        info!(parent: &self.caller.span(), path, upstream = %config.upstream, "open");
        let report = tunnel::run(
            Mouth {
                stream: &mut client,
                early,
            },
            Mouth {
                stream: &mut upstream,
                early: early_of_upstream,
            },
            config.idle_timeout,
            self.drain.clone(),
        )
        .await;
        drop(place);
        self.log_end(&report);
        if matches!(report.end, End::Lost(..)) {
            client.reset();
            upstream.reset();
        }
    }

    fn log_end(&self, report: &Report) {
        info!(
            parent: &self.caller.span(),
            why = report.end.word(),
            reason = report.end.to_string(),
            bytes_in = report.bytes_in,
            bytes_out = report.bytes_out,
            seconds = report.lasted.as_millis() as f64 / 1e3,
            "end",
        );
    }
}

/// A request that is under way, until this is dropped.
struct UnderWay(Arc<Front>);

impl UnderWay {
    fn new(front: &Arc<Front>) -> Self {
        front.progress.begin();
        Self(Arc::clone(front))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.progress.end();
    }
}
