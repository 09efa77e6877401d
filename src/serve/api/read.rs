//! Answers to GET.

use hyper::StatusCode;

use super::query::Query;
use super::{Api, answer, view};
use crate::http::Refusal;
use crate::http::response::Answer;
use crate::registry::connection::Phase;
use crate::registry::filter::{ConnectionFilter, MessageFilter};
use crate::registry::record::{Direction, Kind};
use crate::registry::state::list::{Order, Page};
use crate::registry::state::{Found, Key, TopicSnapshot};
use crate::runtime::deadline::timeout;

/// Parameters of the list of connections.
pub(super) const LIST_PARAMETERS: [&str; 9] = [
    "topic", "path", "state", "id", "count", "wait", "order", "after", "limit",
];

/// Parameters of the messages of a connection.
pub(super) const MESSAGE_PARAMETERS: [&str; 6] =
    ["after", "limit", "wait", "direction", "kind", "contains"];

const PHASES: [(&str, Phase); 3] = [
    ("open", Phase::Open),
    ("closing", Phase::Closing),
    ("closed", Phase::Closed),
];

const ORDERS: [(&str, Order); 2] = [
    ("oldest", Order::OldestFirst),
    ("newest", Order::NewestFirst),
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
    /// A page of the connections that match, once there are enough of them, if that is asked for.
    pub(super) async fn list(&self, query: &str) -> Result<Answer, Refusal> {
        let query = Query::parse(query, &LIST_PARAMETERS)?;
        let text = |name: &str| query.text(name).map(str::to_owned);
        let filter = ConnectionFilter {
            id: text("id"),
            path: text("path"),
            topic: text("topic"),
            phase: query.word("state", &PHASES)?,
        };
        let order = query.word("order", &ORDERS)?.unwrap_or(Order::OldestFirst);
        let page = Page::new(order, query.number("after")?, query.limit()?);
        let wait = query.wait()?;
        let count = match (query.number("count")?, wait) {
            (Some(count), _) => usize::try_from(count).unwrap_or(usize::MAX),
            (None, Some(_)) => 1,
            (None, None) => 0,
        };
        let enough = self.registry.until_count(&filter, count);
        let is_in_time = match wait {
            Some(wait) => timeout(wait, enough).await.is_ok(),
            None => false,
        };
        let page = self.registry.list(&filter, page).await;
        let is_met = is_in_time || page.total >= count;
        Ok(answer(status(is_met), &view::connections(&page)))
    }

    /// One connection.
    pub(super) fn show(&self, id: &str, query: &str) -> Result<Answer, Refusal> {
        Query::parse(query, &[])?;
        let key = self.key(id)?;
        let snapshot = self.registry.snapshot(key).ok_or_else(|| forgotten(id))?;
        Ok(answer(StatusCode::OK, &view::whole_connection(&snapshot)))
    }

    /// Messages of a connection, once there are any, if that is asked for.
    pub(super) async fn messages(&self, id: &str, query: &str) -> Result<Answer, Refusal> {
        let query = Query::parse(query, &MESSAGE_PARAMETERS)?;
        let filter = MessageFilter {
            after: query.number("after")?.unwrap_or_default(),
            direction: query.word("direction", &DIRECTIONS)?,
            kind: query.word("kind", &KINDS)?,
            contains: query.text("contains").map(str::to_owned),
        };
        let (limit, wait) = (query.limit()?, query.wait()?);
        let key = self.key(id)?;
        let now = || self.registry.messages(key, &filter, limit);
        let batch = match wait {
            None => now(),
            Some(wait) => {
                let matching = self.registry.until_message(key, &filter, limit);
                timeout(wait, matching).await.unwrap_or_else(|_late| now())
            }
        };
        let batch = batch.ok_or_else(|| forgotten(id))?;
        let is_met = wait.is_none() || !batch.records.is_empty();
        Ok(answer(status(is_met), &view::messages(&batch)))
    }

    /// A page of the topics that have subscribers.
    pub(super) fn topics(&self, query: &str) -> Result<Answer, Refusal> {
        let query = Query::parse(query, &["after", "limit"])?;
        let after = query.text("after").unwrap_or_default();
        let topics = self.registry.topics(after, query.limit()?);
        Ok(answer(StatusCode::OK, &view::topics(&topics)))
    }

    /// A topic. One that has no subscribers is like any other.
    pub(super) fn topic(&self, name: &str, query: &str) -> Result<Answer, Refusal> {
        Query::parse(query, &[])?;
        let nobody = || TopicSnapshot {
            name: name.into(),
            subscribers: 0,
            messages: 0,
        };
        let topic = self.registry.topic(name).unwrap_or_else(nobody);
        Ok(answer(StatusCode::OK, &view::topic(&topic)))
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
fn forgotten(id: &str) -> Refusal {
    let sentence = format!("The connection {id:?} is closed, and not kept any more.");
    Refusal::new(StatusCode::GONE, sentence)
}

pub(super) fn status(is_met: bool) -> StatusCode {
    match is_met {
        true => StatusCode::OK,
        false => StatusCode::REQUEST_TIMEOUT,
    }
}
