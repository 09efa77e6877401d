//! Answers to POST and DELETE.

use std::str;
use std::sync::Arc;

use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE};
use hyper::http::request::Parts;
use serde_json::{Map, Value, json};

use super::query::Query;
use super::routes::Route;
use super::{Api, RequestBody, answer, bad_request, empty, view};
use crate::http::Refusal;
use crate::http::response::Answer;
use crate::registry::mailbox::Ending;
use crate::registry::push::{Push, Toward};
use crate::registry::record::CloseContent;
use crate::registry::state::{Delivery, Receivers};
use crate::runtime::deadline::timeout;
use crate::scenario::Scenario;
use crate::ws::close::{MAX_REASON, Teardown, may_be_sent};
use crate::ws::frames::Opcode;

/// Bytes of a body with steps: more than all steps take, whatever the escapes.
const MAX_STEPS: usize = 64 << 10;

impl Api {
    /// Reads the message that a request pushes.
    pub(super) async fn read_push(
        &self,
        head: &Parts,
        body: impl RequestBody,
    ) -> Result<Push, Refusal> {
        let mut codings = head.headers.get_all(CONTENT_ENCODING).iter();
        if codings.any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
            let sentence = "A body is pushed as it is: send it without a Content-Encoding.";
            let refusal = Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, sentence);
            return Err(refusal.with(ACCEPT_ENCODING, "identity"));
        }
        let payload = self.read_body(body, self.config.max_message_size).await?;
        let is_binary = head.headers.get(CONTENT_TYPE).is_some_and(|value| {
            let (media_type, _) = split(value.as_bytes());
            media_type.eq_ignore_ascii_case(b"application/octet-stream")
        });
        if is_binary {
            return Ok(Push::new(Opcode::Binary, &payload));
        }
        let sentence = "Text must be UTF-8. Send binary data as application/octet-stream.";
        text(&payload, sentence)
    }

    /// Reads a body, up to a number of bytes.
    pub(super) async fn read_body(
        &self,
        body: impl RequestBody,
        limit: usize,
    ) -> Result<Bytes, Refusal> {
        let too_large = || {
            let sentence = format!("The body may have {limit} bytes; this one has more.");
            Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, sentence)
        };
        // By its Content-Length. A client that waits for a 100 before it sends the body gets this.
        if body.size_hint().lower() > limit as u64 {
            return Err(too_large());
        }
        let read = Limited::new(body, limit).collect();
        let read = timeout(self.config.handshake_timeout, read).await;
        let late = |_| {
            Refusal::new(
                StatusCode::REQUEST_TIMEOUT,
                "The body did not come in time.",
            )
        };
        let body = read
            .map_err(late)?
            .map_err(|error| match error.is::<LengthLimitError>() {
                true => too_large(),
                false => bad_request("The body did not come whole."),
            })?;
        Ok(body.to_bytes())
    }

    /// Pushes a message to those that a path names.
    pub(super) async fn post(
        &self,
        route: Route,
        name: &str,
        query: &str,
        push: &Push,
    ) -> Result<Answer, Refusal> {
        let query = Query::parse(query, &["wait", "to"])?;
        let push = &push.clone().to(self.toward(&query)?);
        let receivers = match route {
            Route::Connection => Receivers::Id(name.to_owned()),
            Route::Topic => Receivers::Topic(name.to_owned()),
            _ => Receivers::All,
        };
        let delivery = match query.wait()? {
            None => self.registry.post(&receivers, push),
            Some(wait) => {
                let posted = self.registry.post_to_first(&receivers, push);
                timeout(wait, posted).await.unwrap_or_default()
            }
        };
        let is_nobody = delivery == Delivery::default();
        if is_nobody && route == Route::Connection {
            self.key(name)?;
            return Err(not_open(name));
        }
        let status = match is_nobody {
            true => StatusCode::ACCEPTED,
            false => StatusCode::CREATED,
        };
        Ok(answer(status, &view::delivery(delivery)))
    }

    /// The side that a message or a Close is for: the client, unless a query names another.
    fn toward(&self, query: &Query) -> Result<Toward, Refusal> {
        let words = [("client", Toward::Client), ("upstream", Toward::Upstream)];
        let toward = query.word("to", &words)?.unwrap_or_default();
        match toward == Toward::Upstream && !self.config.has_upstream {
            true => Err(bad_request("There is no upstream here: this is no proxy.")),
            false => Ok(toward),
        }
    }

    /// Changes the steps by which a connection misbehaves.
    pub(super) async fn change(
        &self,
        id: &str,
        query: &str,
        body: impl RequestBody,
    ) -> Result<Answer, Refusal> {
        Query::parse(query, &[])?;
        if self.config.has_upstream {
            let sentence = "The faults of a tunnel are those that it began with.";
            return Err(bad_request(sentence));
        }
        let body = self.read_body(body, MAX_STEPS).await?;
        let steps = steps(&body)?;
        let shown = json!({ "do": steps.to_string() });
        let key = self.key(id)?;
        let changed = self.registry.change_steps(key, Arc::new(steps));
        changed.map_err(|_gone| not_open(id))?;
        Ok(answer(StatusCode::OK, &shown))
    }

    /// Closes a connection.
    pub(super) fn close(&self, id: &str, query: &str) -> Result<Answer, Refusal> {
        let query = Query::parse(query, &["code", "reason", "how", "to"])?;
        let toward = self.toward(&query)?;
        let ways = [("fin", Teardown::Linger), ("rst", Teardown::Reset)];
        let ending = match query.word("how", &ways)? {
            Some(_) if query.text("code").or(query.text("reason")).is_some() => {
                let sentence = "A connection that is cut gets no Close: leave code and reason out.";
                return Err(bad_request(sentence));
            }
            Some(teardown) => Ending::Cut(teardown),
            None if toward == Toward::Upstream => Ending::CloseUpstream(close_content(&query)?),
            None => Ending::Close(close_content(&query)?),
        };
        let key = self.key(id)?;
        let ended = self.registry.end(key, ending);
        ended.map_err(|_gone| not_open(id))?;
        Ok(empty(StatusCode::NO_CONTENT))
    }
}

/// Refusal of a push to a connection that is over, or of its end.
fn not_open(id: &str) -> Refusal {
    let sentence = format!("The connection {id:?} is closing, or closed.");
    Refusal::new(StatusCode::GONE, sentence)
}

/// A text message, refused with this sentence if it is none.
pub(super) fn text(payload: &[u8], sentence: &'static str) -> Result<Push, Refusal> {
    match str::from_utf8(payload) {
        Ok(_) => Ok(Push::new(Opcode::Text, payload)),
        Err(_) => Err(bad_request(sentence)),
    }
}

/// The steps in a body such as `{"do":"delay:200ms"}`.
fn steps(body: &[u8]) -> Result<Scenario, Refusal> {
    let sentence =
        "The body is the steps as JSON: {\"do\":\"delay:200ms\"}, or {\"do\":\"\"} for none.";
    let wrong = || bad_request(sentence);
    let body: Map<String, Value> = serde_json::from_slice(body).map_err(|_| wrong())?;
    let text = body.get("do").and_then(Value::as_str).ok_or_else(wrong)?;
    if body.len() > 1 {
        return Err(wrong());
    }
    let steps: Result<Scenario, _> = text.parse();
    let steps = steps.and_then(|steps| steps.check_for_session().map(|()| steps));
    steps.map_err(|error| bad_request(error.to_string()))
}

/// The Close that a query asks for.
fn close_content(query: &Query) -> Result<CloseContent, Refusal> {
    let code = query.text("code").unwrap_or("1000");
    let code = code.parse().ok().filter(|_| !code.starts_with('+'));
    let sentence = "A code is 1000 to 1003, 1007 to 1014, or 3000 to 4999.";
    let code = code.filter(|code| may_be_sent(*code));
    let code = code.ok_or_else(|| bad_request(sentence))?;
    let reason = query.text("reason").unwrap_or_default().to_owned();
    if reason.len() > MAX_REASON {
        let sentence = format!("A reason has at most {MAX_REASON} bytes.");
        return Err(bad_request(sentence));
    }
    Ok(CloseContent {
        code: Some(code),
        reason,
    })
}

/// The media type of a `Content-Type`, and its parameters.
fn split(value: &[u8]) -> (&[u8], &[u8]) {
    let end = value.iter().position(|byte| *byte == b';');
    let (media_type, parameters) = value.split_at(end.unwrap_or(value.len()));
    (media_type.trim_ascii(), parameters)
}
