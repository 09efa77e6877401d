//! Answers to GET.

use std::time::Duration;

use hyper::StatusCode;
use serde_json::json;

use super::query::Query;
use super::{Api, answer, view};
use crate::http::Refusal;
use crate::http::response::Answer;
use crate::registry::connection::Phase;
use crate::registry::filter::{ConnectionFilter, MessageFilter};
use crate::registry::record::{Direction, Kind};
use crate::registry::state::{Found, Key, TopicSnapshot};
use crate::runtime::deadline::timeout;

const PHASES: [(&str, Phase); 3] = [
    ("open", Phase::Open),
    ("closing", Phase::Closing),
    ("closed", Phase::Closed),
];

const DIRECTIONS: [(&str, Direction); 2] = [("in", Direction::In), ("out", Direction::Out)];

const KINDS: [(&str, Kind); 5] = [
    ("text", Kind::Text),
    ("binary", Kind::Binary),
    ("ping", Kind::Ping),
    ("pong", Kind::Pong),
    ("close", Kind::Close),
];

impl Api {
    /// The connections that match, once there are enough of them, if that is asked for.
    pub(super) async fn list(&self, query: &str) -> Result<Answer, Refusal> {
        let known = ["topic", "path", "state", "id", "count", "wait"];
        let query = Query::parse(query, &known)?;
        let text = |name: &str| query.text(name).map(str::to_owned);
        let filter = ConnectionFilter {
            id: text("id"),
            path: text("path"),
            topic: text("topic"),
            phase: query.word("state", &PHASES)?,
        };
        let wait = query.wait()?;
        let count = match (query.number("count")?, wait) {
            (Some(count), _) => usize::try_from(count).unwrap_or(usize::MAX),
            (None, Some(_)) => 1,
            (None, None) => 0,
        };
        let enough = self.registry.until_count(&filter, count);
        let is_met = timeout(wait.unwrap_or(Duration::ZERO), enough)
            .await
            .is_ok();
        let connections = self.registry.list(&filter);
        let connections: Vec<_> = connections.iter().map(view::connection).collect();
        Ok(answer(
            status(is_met),
            &json!({ "connections": connections }),
        ))
    }

    /// One connection.
    pub(super) fn show(&self, id: &str) -> Result<Answer, Refusal> {
        let key = self.key(id)?;
        let snapshot = self.registry.snapshot(key).ok_or_else(|| forgotten(id))?;
        Ok(answer(StatusCode::OK, &view::whole_connection(&snapshot)))
    }

    /// Messages of a connection, once there are any, if that is asked for.
    pub(super) async fn messages(&self, id: &str, query: &str) -> Result<Answer, Refusal> {
        let query = Query::parse(query, &["after", "wait", "direction", "kind", "contains"])?;
        let filter = MessageFilter {
            after: query.number("after")?.unwrap_or_default(),
            direction: query.word("direction", &DIRECTIONS)?,
            kind: query.word("kind", &KINDS)?,
            contains: query.text("contains").map(str::to_owned),
        };
        let wait = query.wait()?;
        let key = self.key(id)?;
        let batch = match wait {
            None => self.registry.messages(key, &filter),
            Some(wait) => match timeout(wait, self.registry.until_message(key, &filter)).await {
                Ok(batch) => batch,
                Err(_late) => self.registry.messages(key, &filter),
            },
        };
        let batch = batch.ok_or_else(|| forgotten(id))?;
        let is_met = wait.is_none() || !batch.records.is_empty();
        Ok(answer(status(is_met), &view::messages(&batch)))
    }

    pub(super) fn topics(&self) -> Answer {
        let topics: Vec<_> = self.registry.topics().iter().map(view::topic).collect();
        answer(StatusCode::OK, &json!({ "topics": topics }))
    }

    /// A topic. One that has no subscribers is like any other.
    pub(super) fn topic(&self, name: &str) -> Answer {
        let nobody = || TopicSnapshot {
            name: name.into(),
            subscribers: 0,
            messages: 0,
        };
        let topic = self.registry.topic(name).unwrap_or_else(nobody);
        answer(StatusCode::OK, &view::topic(&topic))
    }

    /// The latest connection of this name.
    pub(super) fn key(&self, id: &str) -> Result<Key, Refusal> {
        match self.registry.find(id) {
            Found::Here(key) => Ok(key),
            Found::Forgotten => Err(forgotten(id)),
            Found::Unknown => {
                let sentence = format!("There is no connection {id:?}.");
                Err(Refusal::new(StatusCode::NOT_FOUND, sentence))
            }
        }
    }
}

/// Refusal of a request for a connection that has been.
pub(super) fn forgotten(id: &str) -> Refusal {
    let sentence = format!("The connection {id:?} is closed.");
    Refusal::new(StatusCode::GONE, sentence)
}

fn status(is_met: bool) -> StatusCode {
    match is_met {
        true => StatusCode::OK,
        false => StatusCode::REQUEST_TIMEOUT,
    }
}
