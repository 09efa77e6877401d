//! The answer to GET that does not end: server-sent events, as the HTML Standard has them.

use std::fmt::{Display, Write};
use std::future::pending;
use std::time::Duration;

use futures_util::stream::unfold;
use hyper::body::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::http::request::Parts;
use hyper::{Method, Response};
use serde_json::{Map, Value, json};
use tokio::time::sleep;

use super::across::Others;
use super::query::Query;
use super::routes::Route;
use super::{Api, bad_request, guard, view};
use crate::http::Refusal;
use crate::http::body::AnswerBody;
use crate::http::progress::ClientEnd;
use crate::net::transport::LOOK;
use crate::registry::connection::Description;
use crate::registry::events::EventReader;
use crate::registry::filter::{ConnectionFilter, EventFilter};
use crate::registry::record::Record;
use crate::registry::state::events::{Event, EventContent};
use crate::runtime::limit::Permit;
use crate::runtime::shutdown::{Begun, Drain};
use crate::telemetry::api::ReaderGuard;

/// Readers of events that there may be at the same time.
pub(super) const MAX_READERS: usize = 256;

/// Silence after which a comment is sent: proxies end connections that are silent.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Comments that are sent to a reader that has ended its side, [one each time](LOOK): if it is gone,
/// the first is answered with a reset, which the next one meets.
const LOOKS: u32 = 5;

/// A comment, which readers ignore.
const COMMENT: &[u8] = b": \n\n";

/// Header with the number of the last event that a reader has.
const LAST_EVENT_ID: &str = "last-event-id";

impl Api {
    /// Whether a request asks for [events](Self::events).
    pub(super) fn is_events(&self, head: &Parts) -> bool {
        let is_read = matches!(head.method, Method::GET | Method::HEAD);
        let found = self.routes.find(head.uri.path());
        is_read && found.is_ok_and(|(route, _)| route == Route::Events)
    }

    /// Events as they happen, until the drain begins.
    pub(super) fn events(
        &self,
        head: &Parts,
        drain: &Drain,
        client: Option<ClientEnd>,
    ) -> Result<Response<AnswerBody>, Refusal> {
        guard::check(head, &self.config)?;
        let query = head.uri.query().unwrap_or_default();
        let (query, others) = self.others(query)?;
        let filter = filter(&query)?;
        let has = last_event_id(head)?;
        if drain.has_begun() {
            return Err(Refusal::unavailable("The server is shutting down."));
        }
        let full = "The API has all the readers of events that it may have.";
        let permit = self
            .readers
            .take()
            .ok_or_else(|| Refusal::unavailable(full))?;
        let stream = EventStream {
            reader: self.registry.events(filter, has),
            others,
            drain: drain.begun(),
            client,
            looks: 0,
            _permit: permit,
            _guard: self.registry.metrics().reader(),
        };
        Ok(answer(AnswerBody::stream(unfold(
            stream,
            EventStream::next,
        ))))
    }
}

/// The events that a query chooses.
pub(super) fn filter(query: &str) -> Result<EventFilter, Refusal> {
    let query = Query::parse(query, &["topic", "connection", "messages"])?;
    Ok(EventFilter {
        connections: ConnectionFilter {
            id: query.text("connection").map(str::to_owned),
            topic: query.text("topic").map(str::to_owned),
            ..ConnectionFilter::default()
        },
        without_messages: query.word("messages", &[("off", ())])?.is_some(),
    })
}

/// The number of the last event that a reader has, if it had any.
fn last_event_id(head: &Parts) -> Result<Option<u64>, Refusal> {
    let mut values = head.headers.get_all(LAST_EVENT_ID).iter();
    let (value, other) = (values.next(), values.next());
    let Some(value) = value else {
        return Ok(None);
    };
    let text = value.to_str().ok().filter(|text| !text.starts_with('+'));
    let number = text.and_then(|text| text.parse().ok());
    let sentence = "Last-Event-ID is the id of one event, which is a number.";
    let number = number.filter(|_| other.is_none());
    number.map(Some).ok_or_else(|| bad_request(sentence))
}

fn answer(body: AnswerBody) -> Response<AnswerBody> {
    let mut answer = Response::new(body);
    for (name, value) in [
        (CONTENT_TYPE, "text/event-stream"),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        let value = HeaderValue::from_static(value);
        answer.headers_mut().insert(name, value);
    }
    answer
}

/// Events on their way to one reader.
struct EventStream {
    reader: EventReader,
    /// Events of the other nodes, if they are asked for.
    others: Option<Others>,
    drain: Begun,
    /// The end of the reader's side, until it has come.
    client: Option<ClientEnd>,
    /// Comments that are still to be sent because of it.
    looks: u32,
    _permit: Permit,
    _guard: ReaderGuard,
}

impl EventStream {
    /// The next piece of the stream.
    async fn next(mut self) -> Option<(Bytes, Self)> {
        let silence = match self.looks {
            0 => KEEP_ALIVE,
            _ => LOOK,
        };
        let piece = tokio::select! {
            biased;
            _ = &mut self.drain => return None,
            events = self.reader.next() => text(&events, self.others.as_ref().map(Others::node)),
            text = next_of(self.others.as_mut()) => text,
            () = ended(self.client.as_ref()) => {
                (self.client, self.looks) = (None, LOOKS);
                Bytes::from_static(COMMENT)
            }
            () = sleep(silence) => {
                self.looks = self.looks.saturating_sub(1);
                Bytes::from_static(COMMENT)
            }
        };
        Some((piece, self))
    }
}

/// Waits for events of other nodes, if they are asked for.
async fn next_of(others: Option<&mut Others>) -> Bytes {
    match others {
        Some(others) => others.next().await,
        None => pending().await,
    }
}

/// Waits until the reader has ended its side, if that is to be waited for.
async fn ended(client: Option<&ClientEnd>) {
    match client {
        Some(client) => client.come().await,
        None => pending().await,
    }
}

/// Events as text. Those of a `node` among others have its name, and no id: their reader could not go
/// on from one.
pub(super) fn text(events: &[Event], node: Option<&str>) -> Bytes {
    let mut text = String::new();
    for Event { number, content } in events {
        let (event, mut data) = match content {
            EventContent::Opened(snapshot) => ("opened", view::connection(snapshot)),
            EventContent::Message(description, record) => ("message", message(description, record)),
            EventContent::Closed(snapshot) => ("closed", view::connection(snapshot)),
            EventContent::Dropped(dropped) => ("dropped", json!({ "dropped": dropped })),
        };
        match node {
            Some(node) => data["node"] = node.into(),
            None => put_id(&mut text, *number),
        }
        put(&mut text, event, data);
    }
    text.into()
}

fn put_id(text: &mut String, id: u64) {
    // Writing to a String does not fail.
    let _ = writeln!(text, "id: {id}");
}

/// Adds an event. JSON on one line has no line break that would end `data`.
pub(super) fn put(text: &mut String, event: &str, data: impl Display) {
    // Writing to a String does not fail.
    let _ = write!(text, "event: {event}\ndata: {data}\n\n");
}

fn message(description: &Description, record: &Record) -> Value {
    let mut message = Map::new();
    message.insert("connection".to_owned(), (*description.id).into());
    message.insert("number".to_owned(), description.info.number.into());
    message.append(&mut view::message(record));
    message.into()
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::config::ApiConfig;
    use crate::registry::Registry;
    use crate::runtime::limit::Limit;
    use crate::runtime::shutdown::Shutdown;

    fn stream(registry: &Registry, drain: &Drain) -> EventStream {
        EventStream {
            reader: registry.events(ConnectionFilter::default(), None),
            others: None,
            drain: drain.begun(),
            client: None,
            looks: 0,
            _permit: Limit::new(1).take().unwrap(),
            _guard: registry.metrics().reader(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_comment_is_sent_while_nothing_happens_and_the_drain_ends_the_stream() {
        let (registry, shutdown) = (Registry::new(ApiConfig::default()), Shutdown::new());
        let begun = Instant::now();
        let mut stream = stream(&registry, &shutdown.subscribe());
        for n in 1..=2 {
            let (piece, next) = stream.next().await.expect("it goes on");
            assert_eq!((&piece[..], begun.elapsed()), (COMMENT, n * KEEP_ALIVE));
            stream = next;
        }
        shutdown.begin(Duration::ZERO, 0);
        assert!(stream.next().await.is_none());
    }
}
