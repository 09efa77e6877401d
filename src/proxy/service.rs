//! One connection of a client, from accept to close: requests that are forwarded, until one of them
//! becomes a tunnel, or over HTTP/2 several.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Empty;
use hyper::Request;
use hyper::body::{Body, Bytes};
use tokio::sync::OwnedSemaphorePermit;

use super::forward::{Answer, Forwarder, Switch};
use super::front::Front;
use super::interim::{self, InterimStream, Interims};
use super::patient::Patient;
use super::requests::Requests;
use super::upstream::BoxError;
use crate::handshake;
use crate::http::Terms;
use crate::http::exchange::{Exchange, Http2Body, Respond};
use crate::http::http1::{self, Ended, Served};
use crate::http::http2::{self, Pings};
use crate::http::preface::Rewound;
use crate::net::linger::linger;
use crate::net::listen::{Peer, Stream};
use crate::runtime::shutdown::Drain;
use crate::runtime::tasks::Stage;
use crate::serve::entry::{Entered, Entry, Visit};
use crate::tls::{Acceptor, MaybeTls};

/// How a connection of HTTP/2 is asked whether its client is there: as the server does by default.
const PINGS: Pings = Pings {
    interval: Duration::from_secs(25),
    timeout: Duration::from_secs(10),
};

/// What every connection of one proxy shares.
pub(super) struct ProxyService {
    forwarder: Arc<Forwarder>,
    entry: Entry,
}

impl ProxyService {
    pub(super) fn new(forwarder: Forwarder, tls: Option<Arc<Acceptor>>) -> Self {
        let config = forwarder.config();
        Self {
            entry: Entry::new(tls, config.h2c, config.handshake_timeout),
            forwarder: Arc::new(forwarder),
        }
    }

    /// Requests and tunnels that are under way.
    pub(super) fn under_way(&self) -> usize {
        self.forwarder.under_way()
    }

    /// Serves one connection to its end. `opening` is given back once it is a tunnel.
    pub(super) fn serve(
        self: Arc<Self>,
        stream: Stream,
        peer: Peer,
        opening: OwnedSemaphorePermit,
        drain: Drain,
    ) -> Stage {
        stream.keep_alive();
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
        let front = self.front(&visit);
        let interims = Interims::default();
        let requests = Requests {
            front: front.clone(),
            interims: interims.clone(),
        };
        let handler = move |request| requests.clone().answer(request);
        let terms = Terms {
            preserves_case: true,
            ..self.entry.terms(&visit)
        };
        let stream = stream.map(|stream| {
            let stream = Patient::new(stream, self.forwarder.config().send_timeout);
            InterimStream::new(stream, interims)
        });
        let Served {
            stream,
            early,
            ended,
        } = http1::serve(stream, handler, terms, visit.drain).await;
        let stream = stream.into_inner().into_inner();
        match ended {
            Ended::Upgraded(switch) => Some(Stage::last(front.tunnel(stream, early, switch))),
            Ended::Late => None,
            Ended::Answered | Ended::Failed => Some(Stage::last(linger(stream))),
        }
    }

    fn open_http2(&self, stream: Rewound<MaybeTls>, visit: Visit) -> Stage {
        let front = self.front(&visit);
        let terms = self.entry.terms(&visit);
        let patience = self.forwarder.config().send_timeout;
        let mut opening = Some(visit.opening);
        let handle = move |exchange: Exchange| {
            drop(opening.take());
            let front = front.on(exchange.caller);
            Some(Box::pin(serve_exchange(front, exchange, patience)))
        };
        Stage::last(http2::serve(
            stream,
            terms,
            Some(PINGS),
            visit.drain,
            handle,
        ))
    }

    fn front(&self, visit: &Visit) -> Front {
        Front {
            forwarder: Arc::clone(&self.forwarder),
            caller: visit.caller,
            drain: visit.drain.clone(),
        }
    }
}

/// Serves one request of HTTP/2, to the end of its tunnel if it becomes one.
async fn serve_exchange(front: Front, exchange: Exchange, patience: Duration) {
    let (request, mut respond) = exchange.into_parts();
    let is_upgrade = handshake::is_asked_for(&request);
    let (head, receive) = request.into_parts();
    if !is_upgrade {
        let request = Request::from_parts(head, Http2Body(receive));
        if let Some((answer, _none)) = answer(&front, request, &mut respond).await {
            respond.send(answer, patience).await;
        }
        return;
    }
    let request = Request::from_parts(head, Empty::<Bytes>::new());
    let Some((answer, switch)) = answer(&front, request, &mut respond).await else {
        return;
    };
    match switch {
        None => respond.send(answer, patience).await,
        Some(switch) => {
            if let Some(stream) = respond.accept(&answer, receive) {
                front.tunnel(stream, Vec::new(), switch).await;
            }
        }
    }
}

/// Has a request answered, and passes on interim responses unless the stream is reset.
async fn answer<B>(
    front: &Front,
    request: Request<B>,
    respond: &mut Respond,
) -> Option<(Answer, Option<Switch>)>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let (sender, mut interims) = interim::channel();
    let mut answering = pin!(front.answer(request, sender));
    let answered = loop {
        tokio::select! {
            Some(interim) = interims.recv() => respond.inform(&interim),
            answered = &mut answering => break answered,
            () = respond.reset() => return None,
        }
    };
    // Interim responses that came right before the answer.
    while let Ok(interim) = interims.try_recv() {
        respond.inform(&interim);
    }
    Some(answered)
}
