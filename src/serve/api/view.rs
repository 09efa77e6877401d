//! Connections and messages in JSON.

use std::time::SystemTime;

use data_encoding::BASE64;
use humantime::format_rfc3339_millis;
use serde_json::{Map, Value, json};

use crate::net::connection_info::{Http, TlsVersion};
use crate::registry::connection::{Closes, Phase, Side, Snapshot, Status, TcpEnd};
use crate::registry::counts::Counts;
use crate::registry::record::{CloseContent, Direction, Kind, Record};
use crate::registry::state::list::Page;
use crate::registry::state::{Batch, Delivery, TopicSnapshot, Topics};

/// A page of connections.
pub(super) fn connections(page: &Page) -> Value {
    json!({
        "connections": page.connections.iter().map(connection).collect::<Vec<_>>(),
        "next": page.next,
        "total": page.total,
    })
}

/// A connection, without the headers of its request.
pub(super) fn connection(snapshot: &Snapshot) -> Value {
    let Snapshot {
        description,
        status,
        kept,
        dropped,
    } = snapshot;
    let info = description.info;
    let http = match info.http {
        Some(Http::Two) => "2",
        _ => "1.1",
    };
    json!({
        "id": &*description.id,
        "number": info.number,
        "state": phase(status.phase),
        "opened_at": time(status.opened_at),
        "closed_at": status.closed_at.map(time),
        "peer": info.peer.to_string(),
        "transport": {
            "http": http,
            "stream": info.stream,
            "tls": info.tls.map(TlsVersion::number),
        },
        "path": description.path,
        "query": description.query,
        "subprotocol": description.subprotocol,
        "extensions": description.extensions,
        "topics": description.topics.iter().map(|topic| &**topic).collect::<Vec<_>>(),
        "received": counts(&status.received),
        "sent": counts(&status.sent),
        "skipped": status.skipped,
        "messages": { "kept": kept, "dropped": dropped },
        "round_trip_ms": status.round_trip.map(|time| time.as_secs_f64() * 1e3),
        "close": closes(&status.closes),
        "end": end(status),
    })
}

/// A connection, with the headers of its request.
pub(super) fn whole_connection(snapshot: &Snapshot) -> Value {
    let mut whole = connection(snapshot);
    whole["headers"] = json!(snapshot.description.headers);
    whole
}

fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Open => "open",
        Phase::Closing => "closing",
        Phase::Closed => "closed",
    }
}

pub(super) fn time(time: SystemTime) -> String {
    format_rfc3339_millis(time).to_string()
}

fn counts(counts: &Counts) -> Value {
    json!({
        "messages": counts.messages,
        "frames": counts.frames,
        "fragments": counts.fragments,
        "control_frames": counts.control_frames,
        "bytes": counts.bytes,
    })
}

fn closes(closes: &Closes) -> Value {
    let content = |close: &CloseContent| json!({ "code": close.code, "reason": close.reason });
    json!({
        "first": closes.first.map(|direction| match direction {
            Direction::In => "peer",
            Direction::Out => "server",
        }),
        "received": closes.received.as_ref().map(content),
        "sent": closes.sent.as_ref().map(content),
    })
}

fn end(status: &Status) -> Value {
    let Some(end) = &status.end else {
        return Value::Null;
    };
    json!({
        "why": end.why,
        "reason": end.reason,
        "code": end.code,
        "clean": end.is_clean,
        "by": end.by,
        "at": time(end.at),
        "tcp": status.tcp.map(|tcp| match tcp {
            TcpEnd::Fin => "fin",
            TcpEnd::Rst(_) => "rst",
            TcpEnd::Timeout => "timeout",
        }),
        "reset_by": status.tcp.and_then(|tcp| match tcp {
            TcpEnd::Rst(Side::Peer) => Some("peer"),
            TcpEnd::Rst(Side::Server) => Some("server"),
            TcpEnd::Fin | TcpEnd::Timeout => None,
        }),
    })
}

/// Messages of a connection.
pub(super) fn messages(batch: &Batch) -> Value {
    json!({
        "messages": batch.records.iter().map(message).map(Value::from).collect::<Vec<_>>(),
        "next": batch.next,
        "dropped": batch.dropped,
    })
}

/// A message of a connection.
pub(super) fn message(record: &Record) -> Map<String, Value> {
    let message = &record.message;
    let mut object = Map::new();
    let mut put = |name: &str, value: Value| object.insert(name.to_owned(), value);
    put("seq", record.seq.into());
    put("at", time(record.at).into());
    put("direction", direction(record.direction).into());
    put("kind", kind(message.kind).into());
    put("bytes", message.bytes.into());
    put("fragments", message.frames.into());
    put("compressed", message.is_compressed.into());
    if message.kind == Kind::Close {
        put("code", message.code.into());
    }
    match (&message.content, message.kind) {
        (Some(text), Kind::Text | Kind::Close) => {
            put("text", String::from_utf8_lossy(text).into());
        }
        (Some(data), _) => {
            put("base64", BASE64.encode(data).into());
        }
        // It was too large to be kept.
        (None, _) => {}
    }
    object
}

fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::In => "in",
        Direction::Out => "out",
    }
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "text",
        Kind::Binary => "binary",
        Kind::Ping => "ping",
        Kind::Pong => "pong",
        Kind::Close => "close",
    }
}

pub(super) fn delivery(delivery: Delivery) -> Value {
    json!({ "delivered": delivery.delivered, "skipped": delivery.skipped })
}

/// A page of topics.
pub(super) fn topics(page: &Topics) -> Value {
    json!({
        "topics": page.topics.iter().map(topic).collect::<Vec<_>>(),
        "next": page.next.as_deref(),
        "total": page.total,
    })
}

pub(super) fn topic(topic: &TopicSnapshot) -> Value {
    json!({
        "topic": &*topic.name,
        "subscribers": topic.subscribers,
        "messages": topic.messages,
    })
}
