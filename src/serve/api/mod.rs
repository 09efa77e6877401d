//! The HTTP API: it shows connections and their messages, pushes to them, and closes them.
//!
//! | request | answer |
//! |---|---|
//! | `GET /connections` | the connections that match, or as soon as enough do |
//! | `POST /connections` | pushes a message to all |
//! | `GET /connections/ID` | one of them, with its verdict once it is closed |
//! | `POST /connections/ID` | pushes a message to it |
//! | `PATCH /connections/ID` | changes the steps by which it misbehaves |
//! | `DELETE /connections/ID` | closes it |
//! | `GET /connections/ID/messages` | its messages, or the next that matches |
//! | `GET /topics`, `GET /topics/TOPIC` | topics with subscribers |
//! | `POST /topics/TOPIC` | pushes a message to all subscribers |
//! | `GET /events` | what happens to connections, and their messages, as they come |
//! | `GET`, `POST`, `DELETE /@connections/ID` | the same as AWS' management API has it |
//! | `GET /cluster` | the nodes of the cluster, if there is one |
//! | `GET /openapi.json` | the description of all of these |
//!
//! In a cluster, all but the last are about the connections of all nodes, unless `cluster=false` is in
//! the query; of events it takes `cluster=true`.
//!
//! | room | purpose |
//! |---|---|
//! | [`service`] | connections to it |
//! | [`guard`] | who may ask |
//! | [`routes`] | which path is what |
//! | [`query`] | parameters of a query |
//! | [`read`] | answers to GET |
//! | [`write`](mod@write) | answers to POST and DELETE |
//! | [`events`] | the answer to GET that does not end |
//! | [`view`] | connections and messages in JSON |
//! | [`across`] | answers about the connections of all nodes |
//! | [`aws`] | answers as AWS' management API gives them |
//! | [`openapi`] | the description of the API |

#[cfg_attr(not(feature = "nats"), path = "no_across.rs")]
mod across;
mod aws;
mod events;
mod guard;
mod openapi;
mod query;
mod read;
mod routes;
pub(crate) mod service;
mod view;
mod write;

use std::borrow::Cow;
use std::error::Error;
use std::sync::Arc;

use hyper::body::{Body, Bytes};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use tracing::debug;

use crate::config::ApiSettings;
use crate::handshake;
use crate::http::Refusal;
use crate::http::body::AnswerBody;
use crate::http::progress::ClientEnd;
use crate::http::response::{self, Answer};
use crate::net::connection_info::ConnectionInfo;
use crate::registry::Registry;
use crate::registry::cluster::Cluster;
use crate::runtime::limit::Limit;
use crate::runtime::shutdown::Drain;
use routes::{Route, Routes};

/// Body of a request, which comes whole or fails.
pub(super) trait RequestBody:
    Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Unpin
{
}

impl<B> RequestBody for B where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Unpin
{
}

/// The API of a server.
#[derive(Debug)]
pub(crate) struct Api {
    registry: Registry,
    /// The cluster, if this server is a node of one.
    cluster: Option<Cluster>,
    config: ApiSettings,
    routes: Routes,
    /// Limit of the readers of events.
    readers: Limit,
}

impl Api {
    /// The API that shows these connections, and those of the other nodes of a cluster.
    pub(crate) fn new(
        registry: Registry,
        cluster: Option<Cluster>,
        config: ApiSettings,
    ) -> Arc<Self> {
        Arc::new(Self {
            registry,
            cluster,
            config,
            routes: Routes::new(),
            readers: Limit::new(events::MAX_READERS),
        })
    }

    /// Whether it is served on every address, and not on addresses of its own.
    pub(crate) fn is_everywhere(&self) -> bool {
        self.config.api.listen.is_empty()
    }

    /// Whether a request is for the API, and not an upgrade.
    pub(crate) fn is_asked<B>(&self, request: &Request<B>) -> bool {
        self.routes.route(request.uri().path()).is_some() && !handshake::is_asked_for(request)
    }

    /// Answers a request that [asks the API](Self::is_asked). When the drain begins, nothing is
    /// waited for any more. The end of a `client` of HTTP/1.1 is to be watched by an answer that does
    /// not end.
    pub(super) async fn answer(
        &self,
        request: Request<impl RequestBody>,
        info: ConnectionInfo,
        drain: &Drain,
        client: Option<ClientEnd>,
    ) -> Response<AnswerBody> {
        let checked = handshake::check_head(&request);
        let (head, body) = request.into_parts();
        let answer = async {
            checked?;
            if self.is_events(&head) {
                return self.events(&head, drain, client);
            }
            let answer = self.try_answer(&head, body).await?;
            Ok(answer.map(AnswerBody::from))
        };
        let answered = tokio::select! {
            biased;
            answered = answer => answered,
            _ = drain.begun() => Err(Refusal::unavailable("The server is shutting down.")),
        };
        let mut answer =
            answered.unwrap_or_else(|refusal| self.refuse(&refusal, &head).map(Into::into));
        if drain.has_begun() {
            response::close_after(&mut answer);
        }
        let (method, path) = (&head.method, head.uri.path());
        let metrics = self.registry.metrics();
        metrics.count_request(self.routes.pattern(path), answer.status());
        let status = answer.status().as_u16();
        debug!(parent: &info.span(), %method, path, status, "answered by the API");
        answer
    }

    async fn try_answer(&self, head: &Parts, body: impl RequestBody) -> Result<Answer, Refusal> {
        guard::check(head, &self.config)?;
        let query = head.uri.query().unwrap_or_default();
        let (route, name) = self.routes.find(head.uri.path())?;
        let subject = Subject { route, name, query };
        match &self.cluster {
            None => self.here(head, subject, body).await,
            Some(cluster) => self.across(cluster, head, subject, body).await,
        }
    }

    /// Answers a request about the connections of this server alone.
    async fn here(
        &self,
        head: &Parts,
        about: Subject<'_>,
        body: impl RequestBody,
    ) -> Result<Answer, Refusal> {
        let Subject { route, name, query } = about;
        let is_read = matches!(head.method, Method::GET | Method::HEAD);
        match (&head.method, route) {
            (_, Route::Connections) if is_read => self.list(query).await,
            (_, Route::Connection) if is_read => self.show(&name, query),
            (_, Route::Messages) if is_read => self.messages(&name, query).await,
            (_, Route::Topics) if is_read => self.topics(query),
            (_, Route::Topic) if is_read => self.topic(&name, query),
            (_, Route::Cluster) if is_read => Err(no_cluster()),
            (_, Route::OpenApi) if is_read => openapi::describe(query),
            (_, Route::AwsConnection) if is_read => self.show_to_aws(&name),
            (&Method::POST, Route::AwsConnection) => self.post_by_aws(&name, body).await,
            (&Method::DELETE, Route::AwsConnection) => self.close_by_aws(&name),
            (&Method::POST, Route::Connections | Route::Connection | Route::Topic) => {
                let push = self.read_push(head, body).await?;
                self.post(route, &name, query, &push).await
            }
            (&Method::PATCH, Route::Connection) => self.change(&name, query, body).await,
            (&Method::DELETE, Route::Connection) => self.close(&name, query),
            _ => Err(not_allowed(route)),
        }
    }

    /// A refusal as JSON.
    fn refuse(&self, refusal: &Refusal, head: &Parts) -> Answer {
        let mut answer = match self.routes.route(head.uri.path()) {
            Some(Route::AwsConnection) => aws::refuse(refusal),
            _ => answer(refusal.status, &json!({ "error": refusal.sentence })),
        };
        for (name, value) in &refusal.headers {
            answer.headers_mut().insert(name, value.clone());
        }
        answer
    }
}

/// Subject of a request: its route, with the name and the query in its target.
#[derive(Debug, Clone)]
struct Subject<'a> {
    route: Route,
    /// The name in the path, if there is one.
    name: String,
    query: &'a str,
}

fn no_cluster() -> Refusal {
    let sentence = "This server is no node of a cluster: start it with --nats.";
    Refusal::new(StatusCode::NOT_FOUND, sentence)
}

fn not_allowed(route: Route) -> Refusal {
    let allowed = route.methods();
    let sentence = format!("This takes {allowed}, and nothing else.");
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, sentence).with(ALLOW, allowed)
}

fn bad_request(sentence: impl Into<Cow<'static, str>>) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, sentence)
}

/// An answer in JSON.
fn answer(status: StatusCode, body: &Value) -> Answer {
    let mut answer = response::answer(status, "application/json", format!("{body}\n"));
    let headers = answer.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// An answer without content.
fn empty(status: StatusCode) -> Answer {
    let mut answer = answer(status, &Value::Null);
    *answer.body_mut() = Bytes::new();
    let headers = answer.headers_mut();
    headers.remove(CONTENT_TYPE);
    match status {
        // RFC 9110, section 8.6: it has no length.
        StatusCode::NO_CONTENT => headers.remove(CONTENT_LENGTH),
        _ => headers.insert(CONTENT_LENGTH, 0.into()),
    };
    answer
}
