//! Connections to the API: those to addresses of its own, and requests to it on all others.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;

use super::Api;
use crate::http::HttpContext;
use crate::http::body::AnswerBody;
use crate::http::exchange::{Exchange, Http2Body};
use crate::http::http1::{self, Ended, Outcome};
use crate::http::http2;
use crate::http::progress::ClientEnd;
use crate::net::connection_info::ConnectionInfo;
use crate::net::linger::linger;
use crate::net::stream::Prefixed;
use crate::runtime::shutdown::Drain;
use crate::runtime::tasks::Stage;
use crate::serve::negotiate::{Negotiator, PendingConnection};
use crate::serve::service::Service;
use crate::tls::{Acceptor, MaybeTls};

/// The service on addresses that are the API's own.
#[derive(Debug)]
pub(crate) struct ApiService {
    api: Arc<Api>,
    negotiator: Negotiator,
}

impl ApiService {
    pub(crate) fn new(api: Arc<Api>, tls: Option<Arc<Acceptor>>) -> Self {
        let config = &api.config;
        Self {
            negotiator: Negotiator::new(tls, config.h2c, config.handshake_timeout),
            api,
        }
    }
}

impl Service for ApiService {
    fn negotiator(&self) -> &Negotiator {
        &self.negotiator
    }

    /// A drain waits for no request: those that wait for something end with it.
    fn under_way(&self) -> usize {
        0
    }

    async fn open_http1(
        &self,
        stream: Prefixed<MaybeTls>,
        connection: PendingConnection,
    ) -> Option<Stage> {
        let context = HttpContext {
            send_timeout: Some(self.api.config.send_timeout),
            ..self.negotiator.http_context(&connection)
        };
        let PendingConnection { info, drain, .. } = connection;
        let http = http1::Connection::new(stream, context, drain.clone());
        let (api, client) = (Arc::clone(&self.api), http.client_end());
        let answer = move |request| {
            answer_http1::<Infallible>(&api, request, info, drain.clone(), client.clone())
        };
        let served = http.serve(answer).await;
        match served.ended {
            Ended::Late => None,
            Ended::Answered | Ended::Failed => Some(Stage::last(linger(served.stream))),
            Ended::Upgraded(never) => match never {},
        }
    }

    fn open_http2(&self, stream: Prefixed<MaybeTls>, connection: PendingConnection) -> Stage {
        let context = self.negotiator.http_context(&connection);
        let (api, drain) = (Arc::clone(&self.api), connection.drain.clone());
        let handle = move |exchange| Some(answer_http2(Arc::clone(&api), exchange, drain.clone()));
        Stage::last(http2::serve(
            stream,
            context,
            None,
            connection.drain,
            handle,
        ))
    }
}

/// Answers a request over HTTP/1.1.
pub(crate) fn answer_http1<U>(
    api: &Arc<Api>,
    request: Request<Incoming>,
    info: ConnectionInfo,
    drain: Drain,
    client: ClientEnd,
) -> impl Future<Output = Outcome<AnswerBody, U>> + Send + use<U> {
    let api = Arc::clone(api);
    async move { Outcome::Answer(api.answer(request, info, &drain, Some(client)).await) }
}

/// Answers a request over HTTP/2. A peer that has reset the stream gets no answer, and a push that
/// waits for a receiver is not sent.
pub(crate) async fn answer_http2(api: Arc<Api>, exchange: Exchange, drain: Drain) {
    let patience: Duration = api.config.send_timeout;
    let info = exchange.info;
    let (request, mut respond) = exchange.into_parts();
    let request = request.map(Http2Body);
    let answer = tokio::select! {
        biased;
        () = respond.reset() => return,
        answer = api.answer(request, info, &drain, None) => answer,
    };
    respond.send(answer, patience).await;
}
