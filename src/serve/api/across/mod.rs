//! Answers about the connections of all nodes. Each node answers for its own connections, as its API
//! does, and here their answers are added up. What a node did not say is never guessed: it is named.
//!
//! | room | purpose |
//! |---|---|
//! | [`owner`] | requests about one connection, which go to its node |
//! | [`push`] | pushes to a topic, or to all |
//! | [`count`] | the wait until enough connections match |
//! | [`lists`] | lists of connections and of topics |
//! | [`follow`] | events of all nodes |

mod count;
mod follow;
mod lists;
mod owner;
mod push;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use form_urlencoded::{Serializer, parse};
use futures_util::future::{BoxFuture, join_all};
use futures_util::stream::BoxStream;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::CONTENT_TYPE;
use hyper::http::request::Parts;
use hyper::{Method, Request, StatusCode};
use serde_json::{Map, Value, json};

use super::query::Query;
use super::routes::Route;
use super::{Api, RequestBody, Subject, answer, bad_request};
use crate::http::Refusal;
use crate::http::response::Answer;
use crate::registry::cluster::{
    Call, CallAnswer, Cluster, Local, NodeState, Unanswered, Unreachable,
};
use crate::registry::state::Found;
pub(super) use follow::Others;

/// Name of the parameter that chooses between this node and all of them.
const CLUSTER: &str = "cluster";

/// The longest wait that a node is asked for at a time. Longer waits are asked for in slices, so that
/// a node does not wait long for a client that is gone.
const SLICE: Duration = Duration::from_secs(2);

impl Api {
    /// Takes part in the cluster.
    pub(crate) async fn join(self: Arc<Self>, cluster: Cluster) {
        let registry = self.registry.clone();
        cluster.run(registry, self).await;
    }

    /// Answers a request about the connections of all nodes.
    pub(super) async fn across(
        &self,
        cluster: &Cluster,
        head: &Parts,
        about: Subject<'_>,
        body: impl RequestBody,
    ) -> Result<Answer, Refusal> {
        let (query, is_across) = scope(about.query)?;
        let is_read = matches!(head.method, Method::GET | Method::HEAD);
        let subject = Subject {
            query: &query,
            ..about
        };
        match subject.route {
            Route::Cluster if is_read => nodes(cluster, subject.query),
            _ if is_across == Some(false) => self.here_by_name(cluster, head, subject, body).await,
            Route::Connections if is_read => self.list_across(cluster, subject.query).await,
            Route::Topics if is_read => self.topics_across(cluster, subject.query).await,
            Route::Topic if is_read => {
                self.topic_across(cluster, &subject.name, subject.query)
                    .await
            }
            Route::Connections | Route::Topic if head.method == Method::POST => {
                let push = self.read_push(head, body).await?;
                self.push_across(cluster, subject, &push).await
            }
            Route::Connection | Route::Messages | Route::AwsConnection => {
                self.about_connection(cluster, head, subject, body).await
            }
            _ => self.here(head, subject, body).await,
        }
    }

    /// Answers a request about this node, whose name the ID of a connection may have.
    async fn here_by_name(
        &self,
        cluster: &Cluster,
        head: &Parts,
        mut about: Subject<'_>,
        body: impl RequestBody,
    ) -> Result<Answer, Refusal> {
        if let Some((name, node)) = about.name.rsplit_once('@')
            && node == cluster.node()
            && self.registry.find(&about.name) == Found::Unknown
        {
            about.name = name.to_owned();
        }
        self.here(head, about, body).await
    }

    /// Answers a request of another node, or of this one to all.
    async fn call_here(&self, call: Call) -> CallAnswer {
        let Call {
            method,
            target,
            is_binary,
            body,
        } = call;
        let content_type = match is_binary {
            true => "application/octet-stream",
            false => "text/plain",
        };
        let request = Request::builder().method(method.as_str()).uri(target);
        let request = request.header(CONTENT_TYPE, content_type).body(());
        let Ok(request) = request else {
            let status = StatusCode::BAD_REQUEST.as_u16();
            return CallAnswer {
                status,
                body: Bytes::new(),
            };
        };
        let head = request.into_parts().0;
        let answered = self.try_call(&head, Full::new(body)).await;
        let answer = answered.unwrap_or_else(|refusal| self.refuse(&refusal, &head));
        CallAnswer {
            status: answer.status().as_u16(),
            body: answer.into_body(),
        }
    }

    async fn try_call(&self, head: &Parts, body: Full<Bytes>) -> Result<Answer, Refusal> {
        let query = head.uri.query().unwrap_or_default();
        let (route, name) = self.routes.find(head.uri.path())?;
        let about = Subject { route, name, query };
        match &self.cluster {
            Some(cluster) => self.here_by_name(cluster, head, about, body).await,
            None => self.here(head, about, body).await,
        }
    }

    /// Asks every node for the answer to the same GET, this one first. If this node refuses it, so do
    /// the others.
    async fn ask_each(
        &self,
        cluster: &Cluster,
        target: impl Fn(&str) -> String,
    ) -> Result<Answers, Refusal> {
        let own = self.call_here(get(target(cluster.node()))).await;
        let own = read(&own).ok_or_else(|| refusal_of(&own))?;
        let mut answers = Answers {
            nodes: BTreeMap::from([(cluster.node().to_owned(), own)]),
            unanswered: Unanswered {
                is_disconnected: !cluster.is_connected(),
                ..Unanswered::default()
            },
        };
        let known = cluster.known();
        let asked = known.iter().map(async |(node, state)| match state {
            NodeState::Incompatible => Err(Unreachable::Incompatible(node.clone())),
            NodeState::Silent => Err(Unreachable::Silent(node.clone())),
            NodeState::Here | NodeState::Leaving => {
                let call = get(target(node));
                cluster.call(node, &call, Duration::ZERO).await
            }
        });
        for ((node, _), answered) in known.iter().zip(join_all(asked).await) {
            answers.add(node, answered);
        }
        Ok(answers)
    }
}

impl Local for Api {
    fn call(self: Arc<Self>, call: Call) -> BoxFuture<'static, CallAnswer> {
        Box::pin(async move { self.call_here(call).await })
    }

    fn events(&self, query: &str) -> Option<BoxStream<'static, (u64, Bytes)>> {
        self.events_for_others(query)
    }
}

/// Answers of the nodes to the same request.
struct Answers {
    nodes: BTreeMap<String, Value>,
    unanswered: Unanswered,
}

impl Answers {
    fn add(&mut self, node: &str, answered: Result<CallAnswer, Unreachable>) {
        let answered = answered.map(|answer| read(&answer));
        match answered {
            Ok(Some(value)) => {
                self.nodes.insert(node.to_owned(), value);
            }
            Err(Unreachable::Incompatible(_)) => self.unanswered.incompatible.push(node.to_owned()),
            Ok(None) | Err(_) => self.unanswered.silent.push(node.to_owned()),
        }
    }
}

/// The JSON of an answer that has what was asked for.
fn read(answer: &CallAnswer) -> Option<Value> {
    match answer.status {
        200 | 408 => serde_json::from_slice(&answer.body).ok(),
        _ => None,
    }
}

/// The refusal that is the answer of this node.
fn refusal_of(answer: &CallAnswer) -> Refusal {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let sentence = body["error"].as_str().unwrap_or("This cannot be answered.");
    let status = StatusCode::from_u16(answer.status);
    let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Refusal::new(status, sentence.to_owned())
}

/// A GET without a body.
fn get(target: String) -> Call {
    Call {
        method: "GET".to_owned(),
        target,
        is_binary: false,
        body: Bytes::new(),
    }
}

/// Adds to an answer which nodes are not in it.
fn note(object: &mut Value, unanswered: &Unanswered) {
    object["silent"] = json!(unanswered.silent);
    if !unanswered.incompatible.is_empty() {
        object["incompatible"] = json!(unanswered.incompatible);
    }
    if unanswered.is_disconnected {
        object[CLUSTER] = "disconnected".into();
    }
}

/// Takes the parameter `cluster` out of a query.
fn scope(query: &str) -> Result<(Cow<'_, str>, Option<bool>), Refusal> {
    if !parse(query.as_bytes()).any(|(name, _)| name == CLUSTER) {
        return Ok((query.into(), None));
    }
    let mut given = parse(query.as_bytes()).filter(|(name, _)| name == CLUSTER);
    let is_across = match (given.next(), given.next()) {
        (Some((_, value)), None) if value == "true" => true,
        (Some((_, value)), None) if value == "false" => false,
        _ => return Err(bad_request("cluster is true or false, once.")),
    };
    let rest = with(query, |name| name != CLUSTER, &[]);
    Ok((rest.into(), Some(is_across)))
}

/// Some of the parameters of a query, and others behind them.
fn with(query: &str, is_wanted: impl Fn(&str) -> bool, more: &[(&str, &str)]) -> String {
    let mut serializer = Serializer::new(String::new());
    let given = parse(query.as_bytes()).filter(|(name, _)| is_wanted(name));
    serializer.extend_pairs(given);
    serializer.extend_pairs(more);
    serializer.finish()
}

/// The nodes of the cluster, and how each of them is.
fn nodes(cluster: &Cluster, query: &str) -> Result<Answer, Refusal> {
    Query::parse(query, &[])?;
    let other = |(node, state): (String, NodeState)| json!({ "node": node, "state": state.word() });
    let own = json!({ "node": cluster.node(), "state": "here" });
    let mut nodes: Vec<Value> = cluster.known().into_iter().map(other).collect();
    nodes.push(own);
    nodes.sort_by_key(|node| node["node"].as_str().unwrap_or_default().to_owned());
    let mut shown = Map::new();
    shown.insert("node".to_owned(), cluster.node().into());
    let state = match cluster.is_connected() {
        true => "connected",
        false => "disconnected",
    };
    shown.insert(CLUSTER.to_owned(), state.into());
    shown.insert("nodes".to_owned(), nodes.into());
    Ok(answer(StatusCode::OK, &shown.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scope_is_taken_out_of_a_query() {
        let scope = |query| scope(query).map_err(|refusal| refusal.status.as_u16());
        assert_eq!(scope("a=%2B&b"), Ok(("a=%2B&b".into(), None)));
        let expected = ("a=%2B&b=c".into(), Some(false));
        assert_eq!(scope("a=%2B&cluster=false&b=c"), Ok(expected));
        assert_eq!(scope("cluster=true"), Ok(("".into(), Some(true))));
        for bad in ["cluster", "cluster=1", "cluster=true&cluster=true"] {
            assert_eq!(scope(bad), Err(400), "{bad}");
        }
    }
}
