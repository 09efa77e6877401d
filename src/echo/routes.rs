//! The routes: every request is answered here.
//!
//! | request | answer |
//! |---|---|
//! | an upgrade to WebSocket, on any path or those of `--path` | 101, and the connection becomes a session |
//! | over HTTP/2, an extended CONNECT to `websocket` on such a path | 200, and the stream becomes a session |
//! | `GET /`, unless `/` is a path of `--path` | 200, the page |
//! | `GET /healthz` | 200 `ok`; 503 `draining` during shutdown; with `cluster=required` 503 without NATS |
//! | `GET /metrics` | 200, Prometheus text |
//! | `GET` anywhere that accepts the verdict's media type, if there is a page | 200, the [`verdict`] on such an upgrade |
//! | `GET` on a path of `--path`, without an upgrade | 426; 405 over HTTP/2 |
//! | another method on one of these | 405 |
//! | anything else | 404 that says how to connect |

use std::sync::Arc;

use form_urlencoded::parse;
use hyper::header::{ALLOW, CONNECTION, HeaderValue, UPGRADE};
use hyper::{Method, Request, StatusCode, Version};
use tracing::{debug, info};

#[cfg(feature = "cli")]
use super::page;
use super::{admission, request_info, verdict};
use crate::config::{NodeName, ServerConfig};
use crate::handshake::{self, Handshake};
use crate::http::Refusal;
use crate::http::body::AnswerBody;
use crate::http::forwarded;
use crate::http::http1::Outcome;
use crate::http::response::{Answer, answer, close_after, refuse, text};
use crate::net::connection_info::ConnectionInfo;
use crate::registry::cluster::Cluster;
use crate::registry::{Admission, Registry};
use crate::runtime::limit::{Limit, Permit};
use crate::runtime::shutdown::Drain;
use crate::scenario::{Occurrences, Scenario};
use crate::telemetry::metrics::{self, Metrics};

/// An accepted upgrade, whose session is to begin.
pub(crate) struct Upgrade {
    pub(crate) path: String,
    /// The connection, with the client that the request came from.
    pub(crate) info: ConnectionInfo,
    pub(crate) handshake: Handshake,
    /// The text that the step `who` sends, if it is asked for.
    pub(crate) request_info: Option<String>,
    /// The connection that is to be opened in the registry, if there is one.
    pub(crate) admission: Option<Box<Admission>>,
    /// Name of the connection, once it is there.
    pub(crate) id: Option<Arc<str>>,
    /// Its permit, one of the limit of sessions.
    pub(crate) permit: Permit,
}

/// Reply to a request.
pub(crate) enum Reply {
    /// The answer to a request of plain HTTP.
    Answer(Answer),
    /// The answer to an upgrade that is refused.
    Refusal(Answer),
    /// The session that an accepted upgrade is to become.
    Session(Box<Upgrade>),
}

impl From<Reply> for Outcome<AnswerBody, Box<Upgrade>> {
    fn from(reply: Reply) -> Self {
        match reply {
            Reply::Answer(answer) => Self::Answer(answer.map(AnswerBody::from)),
            Reply::Refusal(answer) => Self::Last(answer),
            Reply::Session(upgrade) => Self::Upgrade(upgrade),
        }
    }
}

/// The routes, as one connection sees them.
pub(crate) struct Routes {
    config: Arc<ServerConfig>,
    limit: Limit,
    metrics: Arc<Metrics>,
    drain: Drain,
    occurrences: Arc<Occurrences>,
    registry: Option<Registry>,
    cluster: Option<Cluster>,
}

impl Routes {
    pub(crate) fn new(
        config: Arc<ServerConfig>,
        limit: Limit,
        metrics: Arc<Metrics>,
        drain: Drain,
        occurrences: Arc<Occurrences>,
        registry: Option<Registry>,
        cluster: Option<Cluster>,
    ) -> Self {
        Self {
            config,
            limit,
            metrics,
            drain,
            occurrences,
            registry,
            cluster,
        }
    }

    /// The connection as its log lines name it: with the client of this request, if a trusted proxy
    /// in front says who that is.
    pub(crate) fn info<B>(&self, request: &Request<B>, info: ConnectionInfo) -> ConnectionInfo {
        forwarded::info(request.headers(), info, &self.config.trusted_proxies)
    }

    pub(crate) fn reply<B>(&self, request: &Request<B>, info: ConnectionInfo) -> Reply {
        let mut reply = self.route(request, info);
        if self.drain.has_begun()
            && let Reply::Answer(answer) = &mut reply
        {
            close_after(answer);
        }
        reply
    }

    fn route<B>(&self, request: &Request<B>, info: ConnectionInfo) -> Reply {
        if !handshake::is_asked_for(request) {
            let answer = self
                .plain(request, info)
                .unwrap_or_else(|refusal| refuse(&refusal));
            let (method, path) = (request.method(), request.uri().path());
            let status = answer.status().as_u16();
            debug!(parent: &info.span(), %method, path, status, "answered");
            return Reply::Answer(answer);
        }
        match self.upgrade(request, info) {
            Ok(upgrade) => Reply::Session(upgrade),
            Err(answer) => Reply::Refusal(*answer),
        }
    }

    /// Answers a request that [asks for a session](handshake::is_asked_for).
    pub(crate) fn upgrade<B>(
        &self,
        request: &Request<B>,
        info: ConnectionInfo,
    ) -> Result<Box<Upgrade>, Box<Answer>> {
        self.try_upgrade(request, info).map_err(|refusal| {
            let (method, path) = (request.method(), request.uri().path());
            let (status, reason) = (refusal.status.as_u16(), &*refusal.sentence);
            info!(parent: &info.span(), %method, path, status, reason, "refused");
            self.metrics.refuse(refusal.status);
            let mut answer = Box::new(refuse(&refusal));
            close_after(&mut answer);
            answer
        })
    }

    fn try_upgrade<B>(
        &self,
        request: &Request<B>,
        info: ConnectionInfo,
    ) -> Result<Box<Upgrade>, Refusal> {
        let handshake = self.negotiate(request)?;
        let names = self
            .registry
            .as_ref()
            .map(|_| admission::Names::of(request.uri(), self.node()));
        let names = names.transpose()?;
        let mut upgrade = self.accept(handshake, request, info, Occurrences::draw)?;
        if let (Some(registry), Some(names)) = (&self.registry, names) {
            let description = admission::describe(request, &upgrade.handshake, info, names);
            let admission = Admission::new(registry.clone(), description);
            upgrade.admission = Some(Box::new(admission));
        }
        if upgrade.handshake.scenario.has_request_info() {
            let admission = upgrade.admission.as_ref();
            let id = admission.map(|admission| &**admission.id());
            let request_info = request_info::request_info(request, &upgrade.handshake, info, id);
            upgrade.request_info = Some(request_info);
        }
        Ok(upgrade)
    }

    /// Answers a request that [asks for a session](handshake::is_asked_for), as far as the request
    /// alone decides it.
    fn negotiate<B>(&self, request: &Request<B>) -> Result<Handshake, Refusal> {
        handshake::answer(request, &self.config)
    }

    /// Accepts such a request, with the steps that `choose` leaves, or refuses it.
    fn accept<B>(
        &self,
        mut handshake: Handshake,
        request: &Request<B>,
        info: ConnectionInfo,
        choose: impl FnOnce(&Occurrences, &Scenario, &str, &str) -> Scenario,
    ) -> Result<Box<Upgrade>, Refusal> {
        if self.drain.has_begun() {
            return Err(Refusal::unavailable("The server is shutting down."));
        }
        if !handshake.scenario.is_default() {
            let path = request.uri().path();
            let target = request.uri().path_and_query();
            let url = target.map_or(path, |target| target.as_str());
            handshake.scenario = choose(&self.occurrences, &handshake.scenario, path, url);
            handshake = handshake.distorted(&self.config)?;
        }
        let full = "The server has all the connections that it may have.";
        let permit = self
            .limit
            .take()
            .ok_or_else(|| Refusal::unavailable(full))?;
        Ok(Box::new(Upgrade {
            path: request.uri().path().to_owned(),
            info,
            request_info: None,
            admission: None,
            id: None,
            handshake,
            permit,
        }))
    }

    fn plain<B>(&self, request: &Request<B>, info: ConnectionInfo) -> Result<Answer, Refusal> {
        handshake::check_head(request)?;
        if self.has_page() && verdict::is_asked_for(request) {
            check_method(request.method())?;
            // The page asks this when a connection has failed.
            let accept = |upgrade: &_| {
                let handshake = self.negotiate(upgrade)?;
                self.accept(handshake, upgrade, info, Occurrences::latest)
            };
            return Ok(verdict::answer(request, &self.config, accept));
        }
        match request.uri().path() {
            "/healthz" => {
                check_method(request.method())?;
                Ok(self.health(request.uri().query().unwrap_or_default()))
            }
            "/metrics" if cfg!(feature = "metrics") => {
                check_method(request.method())?;
                Ok(self.exposition())
            }
            path if !self.config.paths.is_empty()
                && handshake::is_upgrade_path(path, &self.config) =>
            {
                upgrade_required(request)
            }
            #[cfg(feature = "cli")]
            "/" => {
                check_method(request.method())?;
                Ok(page::answer(request, &self.config))
            }
            _ => Err(Refusal::new(
                StatusCode::NOT_FOUND,
                self.directions(request),
            )),
        }
    }

    /// Name of this node, if it is one of a cluster.
    fn node(&self) -> Option<&NodeName> {
        self.config.cluster.as_ref().map(|cluster| &cluster.node)
    }

    /// Whether `/` serves the page.
    fn has_page(&self) -> bool {
        let is_free =
            || self.config.paths.is_empty() || !handshake::is_upgrade_path("/", &self.config);
        cfg!(feature = "cli") && is_free()
    }

    fn health(&self, query: &str) -> Answer {
        let is_required =
            || parse(query.as_bytes()).any(|it| it == ("cluster".into(), "required".into()));
        let is_connected = || self.cluster.as_ref().is_some_and(Cluster::is_connected);
        if self.drain.has_begun() {
            text(StatusCode::SERVICE_UNAVAILABLE, "draining")
        } else if is_required() && !is_connected() {
            text(
                StatusCode::SERVICE_UNAVAILABLE,
                "disconnected from the cluster",
            )
        } else {
            text(StatusCode::OK, "ok")
        }
    }

    fn exposition(&self) -> Answer {
        let text = self.metrics.exposition(self.drain.has_begun());
        answer(StatusCode::OK, metrics::CONTENT_TYPE, text)
    }

    /// Directions for a client that asked for a path with nothing on it.
    fn directions<B>(&self, request: &Request<B>) -> String {
        let host = handshake::host(request).unwrap_or("this server");
        let scheme = match self.config.tls {
            Some(_) => "wss",
            None => "ws",
        };
        let paths = match &self.config.paths[..] {
            [] => "/, or any other path".to_owned(),
            paths => paths
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(" or "),
        };
        format!(
            "Nothing here. This is echobeat, a WebSocket echo server.\n\
             Connect a WebSocket client to {scheme}://{host}{paths}.\n\
             Over plain HTTP there are {}.{}",
            plain_paths(),
            self.api_paths()
        )
    }

    /// A line about the paths of the API, if this address has it.
    fn api_paths(&self) -> &'static str {
        let own = self.config.api.as_ref().map(|api| &api.listen);
        match own.is_some_and(Vec::is_empty) {
            true => {
                "\nThe API has /connections, /connections/ID, /connections/ID/messages, /topics, \
                 /topics/TOPIC, /events, and all else that is in /openapi.json."
            }
            false => "",
        }
    }
}

/// The requests of plain HTTP that this build answers.
fn plain_paths() -> &'static str {
    match (cfg!(feature = "cli"), cfg!(feature = "metrics")) {
        (true, true) => "GET /, GET /healthz and GET /metrics",
        (true, false) => "GET / and GET /healthz",
        (false, true) => "GET /healthz and GET /metrics",
        (false, false) => "GET /healthz and nothing else",
    }
}

fn check_method(method: &Method) -> Result<(), Refusal> {
    if matches!(*method, Method::GET | Method::HEAD) {
        return Ok(());
    }
    let sentence = "This can be read with GET, and nothing else.";
    Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, sentence).with(ALLOW, "GET, HEAD"))
}

/// Answer of a path for WebSockets to a plain GET (RFC 9110, section 15.5.22). HTTP/2 has no
/// upgrades, so there the method is refused.
fn upgrade_required<B>(request: &Request<B>) -> Result<Answer, Refusal> {
    let sentence = "This path is for WebSockets: connect with a WebSocket client.";
    if request.version() == Version::HTTP_2 {
        let refusal = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, sentence);
        return Err(refusal.with(ALLOW, "CONNECT"));
    }
    check_method(request.method())?;
    let mut answer = text(StatusCode::UPGRADE_REQUIRED, sentence);
    let headers = answer.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    Ok(answer)
}
