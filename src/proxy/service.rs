//! One connection of a client, from accept to close: requests that are forwarded, until one of them
//! becomes a tunnel. Over HTTP/2 several can.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Either};
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::{Body, Bytes};

use super::client_context::ClientContext;
use super::forward::{Answer, Forwarded, Forwarder, Switch, never};
use super::interim::{self, InterimStream, Interims};
use super::requests::Requests;
use super::upstream::BoxError;
use super::write_timeout::WriteTimeout;
use crate::handshake;
use crate::http::HttpContext;
use crate::http::body::AnswerBody;
use crate::http::exchange::{Exchange, Http2Body, Respond};
use crate::http::http1::{self, Ended, Outcome, Served};
use crate::http::http2::{self, Pings};
use crate::net::linger::linger;
use crate::net::stream::Prefixed;
use crate::net::stream::Stream;
use crate::runtime::tasks::Stage;
use crate::serve::api::Api;
use crate::serve::api::service::{answer_http1, answer_http2};
use crate::serve::negotiate::{Negotiator, PendingConnection};
use crate::serve::service::Service;
use crate::tls::{Acceptor, MaybeTls};

/// Settings of the PINGs to clients over HTTP/2: those of the server by default.
const PINGS: Pings = Pings {
    interval: Duration::from_secs(25),
    timeout: Duration::from_secs(10),
};

/// The service of a proxy: what all its connections share.
pub(super) struct ProxyService {
    forwarder: Arc<Forwarder>,
    negotiator: Negotiator,
    /// The API, if it is served on the addresses of clients.
    api: Option<Arc<Api>>,
}

impl ProxyService {
    pub(super) fn new(
        forwarder: Forwarder,
        tls: Option<Arc<Acceptor>>,
        api: Option<Arc<Api>>,
    ) -> Self {
        let config = forwarder.config();
        Self {
            negotiator: Negotiator::new(tls, config.h2c, config.handshake_timeout)
                .behind(&config.proxy_protocol),
            forwarder: Arc::new(forwarder),
            api: api.filter(|api| api.is_everywhere()),
        }
    }
}

impl Service for ProxyService {
    fn negotiator(&self) -> &Negotiator {
        &self.negotiator
    }

    fn under_way(&self) -> usize {
        self.forwarder.under_way()
    }

    fn prepare(&self, stream: &Stream) {
        stream.keep_alive();
    }

    async fn open_http1(
        &self,
        stream: Prefixed<MaybeTls>,
        connection: PendingConnection,
    ) -> Option<Stage> {
        let context = self.front(&connection);
        let interims = Interims::default();
        let requests = Requests {
            context: context.clone(),
            interims: interims.clone(),
        };
        let (api, info) = (self.api.clone(), connection.info);
        let api_drain = connection.drain.clone();
        let http_context = HttpContext {
            preserves_case: true,
            ..self.negotiator.http_context(&connection)
        };
        let stream = stream.map(|stream| {
            let stream = WriteTimeout::new(stream, self.forwarder.config().send_timeout);
            InterimStream::new(stream, interims)
        });
        let http = http1::Connection::new(stream, http_context, connection.drain);
        let client = http.client_end();
        let handler = move |request| match api.as_ref().filter(|api| api.is_asked(&request)) {
            Some(api) => {
                let (drain, client) = (api_drain.clone(), client.clone());
                let answer = answer_http1::<Infallible>(api, request, info, drain, client);
                // Boxed, because other requests would have room for it too.
                Either::Left(Box::pin(answer.map(forwarded)))
            }
            None => Either::Right(requests.clone().answer(request)),
        };
        let Served {
            stream,
            early,
            ended,
        } = http.serve(handler).await;
        let stream = stream.into_inner().into_inner();
        match ended {
            Ended::Upgraded(switch) => Some(Stage::last(context.tunnel(stream, early, switch))),
            Ended::Late => None,
            Ended::Answered | Ended::Failed => Some(Stage::last(linger(stream))),
        }
    }

    fn open_http2(&self, stream: Prefixed<MaybeTls>, connection: PendingConnection) -> Stage {
        let context = self.front(&connection);
        let http_context = self.negotiator.http_context(&connection);
        let patience = self.forwarder.config().send_timeout;
        let (api, drain) = (self.api.clone(), connection.drain.clone());
        let mut opening = Some(connection.opening);
        let handle = move |exchange: Exchange| {
            drop(opening.take());
            if let Some(api) = api.as_ref().filter(|api| api.is_asked(&exchange.request)) {
                let answer = answer_http2(Arc::clone(api), exchange, drain.clone());
                return Some(Box::pin(answer) as BoxFuture<'static, ()>);
            }
            let context = context.on(exchange.info);
            Some(Box::pin(serve_exchange(context, exchange, patience)))
        };
        Stage::last(http2::serve(
            stream,
            http_context,
            Some(PINGS),
            connection.drain,
            handle,
        ))
    }
}

impl ProxyService {
    fn front(&self, connection: &PendingConnection) -> ClientContext {
        ClientContext {
            forwarder: Arc::clone(&self.forwarder),
            info: connection.info,
            drain: connection.drain.clone(),
        }
    }
}

/// An answer of the API, with a body as forwarded ones have.
fn forwarded(outcome: Outcome<AnswerBody, Infallible>) -> Outcome<Forwarded, Switch> {
    match outcome {
        Outcome::Answer(answer) => {
            Outcome::Answer(answer.map(|body| body.map_err(never).boxed_unsync()))
        }
        Outcome::Last(answer) => Outcome::Last(answer),
        Outcome::Switch(_, impossible) | Outcome::Upgrade(impossible) => match impossible {},
    }
}

/// Serves one request of HTTP/2, to the end of its tunnel if it becomes one.
async fn serve_exchange(context: ClientContext, exchange: Exchange, patience: Duration) {
    let (request, mut respond) = exchange.into_parts();
    let is_upgrade = handshake::is_asked_for(&request);
    let (head, receive) = request.into_parts();
    if !is_upgrade {
        let request = Request::from_parts(head, Http2Body(receive));
        if let Some((answer, _none)) = answer(&context, request, &mut respond).await {
            respond.send(answer, patience).await;
        }
        return;
    }
    let request = Request::from_parts(head, Empty::<Bytes>::new());
    let Some((answer, switch)) = answer(&context, request, &mut respond).await else {
        return;
    };
    match switch {
        None => respond.send(answer, patience).await,
        Some(switch) => {
            if let Some(stream) = respond.accept(&answer, receive) {
                context.tunnel(stream, Vec::new(), switch).await;
            }
        }
    }
}

/// Answers a request, and passes on interim responses unless the stream is reset.
async fn answer<B>(
    context: &ClientContext,
    request: Request<B>,
    respond: &mut Respond,
) -> Option<(Answer, Option<Switch>)>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let (sender, mut interims) = interim::channel();
    let mut answering = pin!(context.answer(request, sender));
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
