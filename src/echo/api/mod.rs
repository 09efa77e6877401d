//! The HTTP API: it shows connections and their messages, pushes to them, and closes them.
//!
//! | request | answer |
//! |---|---|
//! | `GET /connections` | the connections that match, or as soon as enough do |
//! | `POST /connections` | pushes a message to all |
//! | `GET /connections/ID` | one of them, with its verdict once it is closed |
//! | `POST /connections/ID` | pushes a message to it |
//! | `DELETE /connections/ID` | closes it |
//! | `GET /connections/ID/messages` | its messages, or the next that matches |
//! | `GET /topics`, `GET /topics/TOPIC` | topics with subscribers |
//! | `POST /topics/TOPIC` | pushes a message to all subscribers |
//!
//! | room | purpose |
//! |---|---|
//! | [`service`] | connections to it |
//! | [`guard`] | who may ask |
//! | [`routes`] | which path is what |
//! | [`query`] | parameters of a query |
//! | [`read`] | answers to GET |
//! | [`mod@write`] | answers to POST and DELETE |
//! | [`view`] | connections and messages in JSON |

mod guard;
mod query;
mod read;
mod routes;
pub(super) mod service;
mod view;
mod write;

use std::borrow::Cow;
use std::error::Error;
use std::sync::Arc;

use hyper::body::{Body, Bytes};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, StatusCode};
use serde_json::{Value, json};
use tracing::debug;

use crate::config::ServerConfig;
use crate::handshake;
use crate::http::Refusal;
use crate::http::response::{self, Answer};
use crate::net::connection_info::ConnectionInfo;
use crate::registry::Registry;
use crate::runtime::shutdown::Drain;
use routes::{Route, Routes};

/// The API of a server.
#[derive(Debug)]
pub(super) struct Api {
    registry: Registry,
    config: Arc<ServerConfig>,
    routes: Routes,
}

impl Api {
    /// The API of a server that is to have one. It shows these connections.
    pub(super) fn new(registry: Registry, config: &Arc<ServerConfig>) -> Option<Arc<Self>> {
        config.api.as_ref()?;
        Some(Arc::new(Self {
            registry,
            config: Arc::clone(config),
            routes: Routes::new(),
        }))
    }

    /// Whether it is served on every address, and not on addresses of its own.
    pub(super) fn is_everywhere(&self) -> bool {
        let own = self.config.api.as_ref().map(|api| &api.listen);
        own.is_none_or(Vec::is_empty)
    }

    /// Whether a request is for the API, and not an upgrade.
    pub(super) fn is_asked<B>(&self, request: &Request<B>) -> bool {
        self.routes.has(request.uri().path()) && !handshake::is_asked_for(request)
    }

    /// Answers a request that [asks the API](Self::is_asked). When the drain begins, nothing is
    /// waited for any more.
    pub(super) async fn answer<B>(
        &self,
        request: Request<B>,
        info: ConnectionInfo,
        drain: &Drain,
    ) -> Answer
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let checked = handshake::check_head(&request);
        let (head, body) = request.into_parts();
        let answer = async {
            checked?;
            self.try_answer(&head, body).await
        };
        let answered = tokio::select! {
            biased;
            answered = answer => answered,
            _ = drain.begun() => Err(Refusal::unavailable("The server is shutting down.")),
        };
        let mut answer = answered.unwrap_or_else(|refusal| refuse(&refusal));
        if drain.has_begun() {
            response::close_after(&mut answer);
        }
        let (method, path) = (&head.method, head.uri.path());
        let status = answer.status().as_u16();
        debug!(parent: &info.span(), %method, path, status, "answered by the API");
        answer
    }

    async fn try_answer<B>(&self, head: &Parts, body: B) -> Result<Answer, Refusal>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        guard::check(head, &self.config)?;
        let query = head.uri.query().unwrap_or_default();
        let (route, name) = self.routes.find(head.uri.path())?;
        let is_read = matches!(head.method, Method::GET | Method::HEAD);
        match (&head.method, route) {
            (_, Route::Connections) if is_read => self.list(query).await,
            (_, Route::Connection) if is_read => self.show(&name),
            (_, Route::Messages) if is_read => self.messages(&name, query).await,
            (_, Route::Topics) if is_read => Ok(self.topics()),
            (_, Route::Topic) if is_read => Ok(self.topic(&name)),
            (&Method::POST, Route::Connections | Route::Connection | Route::Topic) => {
                let push = self.read_push(head, body).await?;
                self.post(route, &name, query, &push).await
            }
            (&Method::DELETE, Route::Connection) => self.close(&name, query),
            _ => Err(not_allowed(route)),
        }
    }
}

fn not_allowed(route: Route) -> Refusal {
    let allowed = match route {
        Route::Connections | Route::Topic => "GET, HEAD, POST",
        Route::Connection => "GET, HEAD, POST, DELETE",
        Route::Topics | Route::Messages => "GET, HEAD",
    };
    let sentence = format!("This takes {allowed}, and nothing else.");
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, sentence).with(ALLOW, allowed)
}

fn bad_request(sentence: impl Into<Cow<'static, str>>) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, sentence)
}

/// A refusal as JSON.
fn refuse(refusal: &Refusal) -> Answer {
    let mut answer = answer(refusal.status, &json!({ "error": refusal.sentence }));
    for (name, value) in &refusal.headers {
        answer.headers_mut().insert(name, value.clone());
    }
    answer
}

/// An answer in JSON.
fn answer(status: StatusCode, body: &Value) -> Answer {
    let mut answer = response::answer(status, "application/json", format!("{body}\n"));
    let headers = answer.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// An answer without content.
fn no_content() -> Answer {
    let mut answer = answer(StatusCode::NO_CONTENT, &Value::Null);
    *answer.body_mut() = Bytes::new();
    let headers = answer.headers_mut();
    // RFC 9110, section 8.6: it has no length.
    headers.remove(hyper::header::CONTENT_LENGTH);
    headers.remove(CONTENT_TYPE);
    answer
}
