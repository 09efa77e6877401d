//! Requests about one connection: they go to the node that has it.

use std::time::Duration;

use hyper::body::Bytes;
use hyper::header::{CACHE_CONTROL, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use tokio::time::Instant;

use super::{Api, Call, CallAnswer, Cluster, Query, RequestBody, SLICE, Subject, with};
use crate::http::Refusal;
use crate::http::response::{self, Answer};
use crate::registry::cluster::{Owner, Unanswered};
use crate::registry::push::Push;
use crate::serve::api::read::MESSAGE_PARAMETERS;
use crate::serve::api::routes::Route;
use crate::serve::api::{aws, empty};
use crate::ws::frames::Opcode;

/// A request about a connection of another node.
struct Forwarded<'a> {
    cluster: &'a Cluster,
    node: String,
    call: Call,
    route: Route,
    query: &'a str,
}

impl Api {
    /// Answers a request about one connection, or has its node answer it.
    pub(super) async fn about_connection(
        &self,
        cluster: &Cluster,
        head: &Parts,
        about: Subject<'_>,
        body: impl RequestBody,
    ) -> Result<Answer, Refusal> {
        if head.method == Method::POST && about.route == Route::Connection {
            return self.post_to_connection(cluster, head, about, body).await;
        }
        let node = match cluster.owner(&self.registry, &about.name).await {
            Owner::Here => return self.here_by_name(cluster, head, about, body).await,
            Owner::Node(node) => node,
            Owner::Unknown(unanswered) => return Err(unknown(&about.name, &unanswered)),
        };
        let body = self.read_body(body, self.config.max_message_size).await?;
        super::push::check_size(cluster, body.len())?;
        let call = call(head, about.query, false, body);
        let forwarded = Forwarded {
            cluster,
            node,
            call,
            route: about.route,
            query: about.query,
        };
        forwarded.answer().await
    }

    /// Pushes a message to one connection, once it is there, if that is asked for.
    async fn post_to_connection(
        &self,
        cluster: &Cluster,
        head: &Parts,
        about: Subject<'_>,
        body: impl RequestBody,
    ) -> Result<Answer, Refusal> {
        let wait = Query::parse(about.query, &["wait"])?.wait()?;
        let push = self.read_push(head, body).await?;
        let deadline = wait.map(|wait| Instant::now() + wait);
        let filter = with("", |_| false, &[("id", &about.name), ("state", "open")]);
        loop {
            let posted = self.post_once(cluster, head, &about, &push).await;
            let is_gone = posted.as_ref().map_or_else(
                |refusal| is_nobody(refusal.status),
                |answer| is_nobody(answer.status()),
            );
            match deadline {
                Some(deadline) if is_gone => {
                    if !self
                        .until_count_across(cluster, &filter, 1, deadline)
                        .await?
                    {
                        return posted;
                    }
                }
                _ => return posted,
            }
        }
    }

    async fn post_once(
        &self,
        cluster: &Cluster,
        head: &Parts,
        about: &Subject<'_>,
        push: &Push,
    ) -> Result<Answer, Refusal> {
        let is_binary = push.opcode() == Opcode::Binary;
        let call = call(head, "", is_binary, push.payload());
        match cluster.owner(&self.registry, &about.name).await {
            Owner::Here => Ok(answer_of(self.call_here(call).await, about.route)),
            Owner::Unknown(unanswered) => Err(unknown(&about.name, &unanswered)),
            Owner::Node(node) => {
                super::push::check_size(cluster, push.len())?;
                let forwarded = Forwarded {
                    cluster,
                    node,
                    call,
                    route: about.route,
                    query: "",
                };
                forwarded.answer().await
            }
        }
    }
}

impl Forwarded<'_> {
    /// Has the node answer, waiting a [slice](SLICE) at a time, if the request is to wait.
    async fn answer(mut self) -> Result<Answer, Refusal> {
        let wait = match self.route {
            Route::Messages => Query::parse(self.query, &MESSAGE_PARAMETERS)?.wait()?,
            _ => None,
        };
        let Some(wait) = wait else {
            return self.once(Duration::ZERO).await;
        };
        let deadline = Instant::now() + wait;
        loop {
            let begun = Instant::now();
            let slice = deadline.saturating_duration_since(begun).min(SLICE);
            let path = self.call.target.split('?').next().unwrap_or_default();
            let text = format!("{}ms", slice.as_millis());
            let query = with(self.query, |name| name != "wait", &[("wait", &text)]);
            self.call.target = format!("{path}?{query}");
            let answer = self.once(slice).await?;
            // One that waits in vain, and not for long, is about a session that is over.
            let is_final =
                answer.status() != StatusCode::REQUEST_TIMEOUT || begun.elapsed() < slice;
            if is_final || Instant::now() >= deadline {
                return Ok(answer);
            }
        }
    }

    async fn once(&self, longer: Duration) -> Result<Answer, Refusal> {
        let answered = self.cluster.call(&self.node, &self.call, longer).await;
        match answered {
            Ok(answer) => Ok(answer_of(answer, self.route)),
            Err(error) => Err(Refusal::new(StatusCode::GATEWAY_TIMEOUT, error.to_string())),
        }
    }
}

/// The request that another node gets.
fn call(head: &Parts, query: &str, is_binary: bool, body: Bytes) -> Call {
    let path = head.uri.path();
    let target = match query {
        "" => path.to_owned(),
        query => format!("{path}?{query}"),
    };
    Call {
        method: head.method.as_str().to_owned(),
        target,
        is_binary,
        body,
    }
}

/// The answer that a node has given.
fn answer_of(given: CallAnswer, route: Route) -> Answer {
    let status = StatusCode::from_u16(given.status).unwrap_or(StatusCode::BAD_GATEWAY);
    if given.body.is_empty() {
        return empty(status);
    }
    let body = String::from_utf8_lossy(&given.body).into_owned();
    let mut answer = response::answer(status, "application/json", body);
    let headers = answer.headers_mut();
    let no_store = HeaderValue::from_static("no-store");
    headers.insert(CACHE_CONTROL, no_store);
    if route == Route::AwsConnection && status.is_client_error() {
        let exception = HeaderValue::from_static(aws::exception(status));
        headers.insert(aws::ERROR_TYPE, exception);
    }
    answer
}

/// Whether an answer says that there is no such connection, or not any more.
fn is_nobody(status: StatusCode) -> bool {
    matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE)
}

/// Refusal of a request for a connection that a node may have that did not answer.
fn unknown(id: &str, unanswered: &Unanswered) -> Refusal {
    let silent = unanswered.silent.iter().chain(&unanswered.incompatible);
    let silent: Vec<_> = silent.map(|node| format!("{node:?}")).collect();
    let why = match (unanswered.is_disconnected, &silent[..]) {
        (true, []) => "NATS is disconnected, and no other node can be asked".to_owned(),
        (true, silent) => format!(
            "NATS is disconnected, and these cannot be asked: {}",
            silent.join(", ")
        ),
        (false, silent) => format!("these nodes did not answer: {}", silent.join(", ")),
    };
    let sentence = format!("No node that answered has the connection {id:?} open; {why}.");
    Refusal::new(StatusCode::GATEWAY_TIMEOUT, sentence)
}
