//! One connection, from accept to close: TLS, HTTP, then perhaps a session (over HTTP/2 several),
//! and an orderly end of TCP.

use std::future::ready;
use std::sync::Arc;

use futures_util::future::{BoxFuture, Either};
use tokio::io::AsyncWriteExt;

use super::pending::PendingSession;
use super::routes::{Reply, Routes, Upgrade};
use crate::config::ServerConfig;
use crate::handshake;
use crate::http::HttpContext;
use crate::http::exchange::Exchange;
use crate::http::http1::{self, Ended, Served};
use crate::http::http2::{self, Pings};
use crate::http::response::head_bytes;
use crate::net::connection_info::ConnectionInfo;
use crate::net::linger::linger;
use crate::net::stream::Prefixed;
use crate::registry::Registry;
use crate::registry::cluster::Cluster;
use crate::runtime::deadline::timeout;
use crate::runtime::limit::Limit;
use crate::runtime::shutdown::Drain;
use crate::runtime::tasks::Stage;
use crate::runtime::timers::Timers;
use crate::scenario::Occurrences;
use crate::serve::api::Api;
use crate::serve::api::service::{answer_http1, answer_http2};
use crate::serve::negotiate::{Negotiator, PendingConnection};
use crate::serve::service::Service;
use crate::session::SessionContext;
use crate::telemetry::metrics::Metrics;
use crate::tls::{Acceptor, MaybeTls};

/// The service of WebSocket connections: what all connections of one server share.
#[derive(Debug)]
pub(crate) struct EchoService {
    config: Arc<ServerConfig>,
    negotiator: Negotiator,
    /// Limit of the sessions.
    limit: Limit,
    metrics: Arc<Metrics>,
    timers: Timers,
    occurrences: Arc<Occurrences>,
    /// The connections, if anybody is to see them.
    registry: Option<Registry>,
    /// The cluster of which the server is a node.
    cluster: Option<Cluster>,
    /// The API, if it is served on the addresses of WebSockets.
    api: Option<Arc<Api>>,
}

impl EchoService {
    pub(crate) fn new(
        config: Arc<ServerConfig>,
        tls: Option<Arc<Acceptor>>,
        timers: Timers,
        mut metrics: Metrics,
        registry: Option<Registry>,
        cluster: Option<Cluster>,
        api: Option<Arc<Api>>,
    ) -> Self {
        let negotiator = Negotiator::new(tls, config.h2c, config.handshake_timeout)
            .behind(&config.proxy_protocol);
        metrics.show_rejects(negotiator.rejects());
        if let Some(registry) = &registry {
            metrics.show_api(registry.metrics());
        }
        if let Some(cluster) = &cluster {
            metrics.show_cluster(cluster.metrics());
        }
        Self {
            negotiator,
            limit: Limit::new(config.max_connections),
            registry,
            cluster,
            api: api.filter(|api| api.is_everywhere()),
            config,
            metrics: Arc::new(metrics),
            timers,
            occurrences: Arc::default(),
        }
    }
}

impl Service for EchoService {
    fn negotiator(&self) -> &Negotiator {
        &self.negotiator
    }

    fn under_way(&self) -> usize {
        self.limit.taken()
    }

    async fn open_http1(
        &self,
        stream: Prefixed<MaybeTls>,
        connection: PendingConnection,
    ) -> Option<Stage> {
        let routes = self.routes(&connection);
        let (context, info) = (self.http_context(&connection), connection.info);
        let mut http = http1::Connection::new(stream, context, connection.drain.clone());
        let upgrade = http.first_upgrade().await.filter(handshake::is_asked_for);
        let Served {
            stream,
            early,
            ended,
        } = match upgrade {
            Some(request) => {
                let decision = routes.upgrade(&request, routes.info(&request, info));
                http.leave(&request, decision).await
            }
            None => {
                let (api, drain) = (self.api.clone(), connection.drain.clone());
                let client = http.client_end();
                let handler = move |request| {
                    let info = routes.info(&request, info);
                    match api.as_ref().filter(|api| api.is_asked(&request)) {
                        Some(api) => {
                            let (drain, client) = (drain.clone(), client.clone());
                            Either::Left(answer_http1(api, request, info, drain, client))
                        }
                        None => Either::Right(ready(routes.reply(&request, info).into())),
                    }
                };
                // Boxed, because an upgrade that comes first would have room for it too.
                Box::pin(http.serve(handler)).await
            }
        };
        match ended {
            Ended::Upgraded(upgrade) => self.session(stream, early, upgrade, connection).await,
            Ended::Late => None,
            Ended::Answered | Ended::Failed => Some(Stage::last(linger(stream))),
        }
    }

    fn open_http2(&self, stream: Prefixed<MaybeTls>, connection: PendingConnection) -> Stage {
        let context = self.negotiator.http_context(&connection);
        let pings = self.config.ping_interval.map(|interval| Pings {
            interval,
            timeout: self.config.ping_timeout,
        });
        let routes = self.routes(&connection);
        let shared = self.context(connection.drain.clone(), connection.info);
        let (api, drain) = (self.api.clone(), connection.drain.clone());
        let mut opening = Some(connection.opening);
        let handle = move |mut exchange: Exchange| {
            let info = routes.info(&exchange.request, exchange.info);
            exchange.info = info;
            if let Some(api) = api.as_ref().filter(|api| api.is_asked(&exchange.request)) {
                let answer = answer_http2(Arc::clone(api), exchange, drain.clone());
                return Some(Either::Right(Box::pin(answer) as BoxFuture<'static, ()>));
            }
            match routes.reply(&exchange.request, info) {
                Reply::Answer(answer) | Reply::Refusal(answer) => {
                    exchange.answer(answer);
                    None
                }
                Reply::Session(upgrade) => {
                    drop(opening.take());
                    let mut pending = PendingSession {
                        upgrade,
                        begun_at: exchange.begun_at,
                        context: shared.for_session(info),
                    };
                    if pending.is_faulty() {
                        // Boxed, so that an ordinary session reserves no memory for it.
                        let session = pending.misbehave_over_http2(exchange);
                        return Some(Either::Right(Box::pin(session)));
                    }
                    let stream = exchange.accept(&pending.accept())?;
                    let session = pending.converse(stream, Vec::new());
                    Some(Either::Left(session))
                }
            }
        };
        Stage::last(http2::serve(
            stream,
            context,
            pings,
            connection.drain,
            handle,
        ))
    }
}

impl EchoService {
    /// Accepts an upgrade and begins its session. A session that misbehaves sends the answer
    /// itself.
    async fn session(
        &self,
        mut stream: MaybeTls,
        early: Vec<u8>,
        upgrade: Box<Upgrade>,
        connection: PendingConnection,
    ) -> Option<Stage> {
        let info = upgrade.info;
        let mut pending = PendingSession {
            upgrade,
            begun_at: connection.accepted_at,
            context: self.context(connection.drain, info),
        };
        if pending.is_faulty() {
            return Some(Stage::last(pending.misbehave_over_http1(stream, early)));
        }
        let head = head_bytes(&pending.accept());
        let sent = async {
            stream.write_all(&head).await?;
            stream.flush().await
        };
        match timeout(self.config.handshake_timeout, sent).await {
            Ok(Ok(())) => Some(Stage::last(pending.converse(stream, early))),
            _ => None,
        }
    }

    /// Deadlines and settings of the requests over HTTP/1.1.
    fn http_context(&self, connection: &PendingConnection) -> HttpContext {
        HttpContext {
            send_timeout: Some(self.config.send_timeout),
            ..self.negotiator.http_context(connection)
        }
    }

    /// Surroundings of the sessions of a connection.
    fn context(&self, drain: Drain, info: ConnectionInfo) -> SessionContext {
        SessionContext {
            config: Arc::clone(&self.config),
            metrics: Arc::clone(&self.metrics),
            timers: self.timers.clone(),
            drain,
            info,
            deflate: None,
            connection: None,
        }
    }

    fn routes(&self, connection: &PendingConnection) -> Routes {
        Routes::new(
            Arc::clone(&self.config),
            self.limit.clone(),
            Arc::clone(&self.metrics),
            connection.drain.clone(),
            Arc::clone(&self.occurrences),
            self.registry.clone(),
            self.cluster.clone(),
        )
    }
}
