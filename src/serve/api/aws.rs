//! Answers as the management API of AWS API Gateway gives them for WebSocket connections, so that
//! the SDKs of AWS work with this server.

use hyper::StatusCode;
use hyper::header::{HeaderValue, USER_AGENT};
use serde_json::json;

use super::write::text;
use super::{Api, RequestBody, answer, empty, view};
use crate::http::Refusal;
use crate::http::response::Answer;
use crate::net::connection_info::Peer;
use crate::registry::connection::{Description, Phase};
use crate::registry::mailbox::Ending;
use crate::registry::record::CloseContent;
use crate::registry::state::{Found, Key, Receivers};

/// The largest message that AWS takes.
const MAX_MESSAGE: usize = 128 << 10;

/// Header by which the SDKs tell exceptions apart.
pub(super) const ERROR_TYPE: &str = "x-amzn-errortype";

impl Api {
    /// Shows a connection that is open.
    pub(super) fn show_to_aws(&self, id: &str) -> Result<Answer, Refusal> {
        let snapshot = self.registry.snapshot(self.open_key(id)?);
        let snapshot = snapshot.filter(|it| it.status.phase == Phase::Open);
        let snapshot = snapshot.ok_or_else(gone)?;
        let description = &snapshot.description;
        let shown = json!({
            "connectedAt": view::time(snapshot.status.opened_at),
            "identity": { "sourceIp": source(description), "userAgent": user_agent(description) },
            "lastActiveAt": view::time(snapshot.status.active_at),
        });
        Ok(answer(StatusCode::OK, &shown))
    }

    /// Pushes a body to a connection, as text whatever its content type: the WebSockets of AWS are
    /// for text, and its SDKs call every body binary or nothing.
    pub(super) async fn post_by_aws(
        &self,
        id: &str,
        body: impl RequestBody,
    ) -> Result<Answer, Refusal> {
        let limit = MAX_MESSAGE.min(self.config.max_message_size);
        let payload = self.read_body(body, limit).await?;
        let push = text(&payload, "A message is text, and text must be UTF-8.")?;
        let receiver = Receivers::Id(id.to_owned());
        let delivery = self.registry.post(&receiver, &push);
        match (delivery.delivered, delivery.skipped) {
            (0, 0) => Err(gone()),
            (0, _) => {
                let sentence = "The mailbox of the connection is full: its peer does not read.";
                Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, sentence))
            }
            _ => Ok(empty(StatusCode::OK)),
        }
    }

    /// Closes a connection.
    pub(super) fn close_by_aws(&self, id: &str) -> Result<Answer, Refusal> {
        let close = CloseContent {
            code: Some(1000),
            reason: String::new(),
        };
        let ended = self.registry.end(self.open_key(id)?, Ending::Close(close));
        ended.map_err(|_gone| gone())?;
        Ok(empty(StatusCode::NO_CONTENT))
    }

    /// The latest connection of this name. AWS tells no one that was from one that never was.
    fn open_key(&self, id: &str) -> Result<Key, Refusal> {
        match self.registry.find(id) {
            Found::Here(key) => Ok(key),
            Found::Forgotten | Found::Unknown => Err(gone()),
        }
    }
}

fn gone() -> Refusal {
    Refusal::new(
        StatusCode::GONE,
        "There is no open connection of this name.",
    )
}

fn source(description: &Description) -> String {
    match description.info.peer {
        Peer::Tcp(address) => address.ip().to_string(),
        peer @ (Peer::Host(_) | Peer::Local) => peer.to_string(),
    }
}

fn user_agent(description: &Description) -> &str {
    let mut headers = description.headers.iter();
    let found = headers.find(|[name, _]| name.eq_ignore_ascii_case(USER_AGENT.as_str()));
    found.map_or("", |[_, value]| value)
}

/// A refusal as the SDKs of AWS expect it.
pub(super) fn refuse(refusal: &Refusal) -> Answer {
    let mut answer = answer(refusal.status, &json!({ "message": refusal.sentence }));
    let exception = HeaderValue::from_static(exception(refusal.status));
    answer.headers_mut().insert(ERROR_TYPE, exception);
    answer
}

/// Name of the exception that the SDKs make of a status.
pub(super) fn exception(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "ForbiddenException",
        StatusCode::REQUEST_TIMEOUT => "RequestTimeoutException",
        StatusCode::GONE => "GoneException",
        StatusCode::PAYLOAD_TOO_LARGE => "PayloadTooLargeException",
        StatusCode::TOO_MANY_REQUESTS => "LimitExceededException",
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
            "ServiceUnavailableException"
        }
        _ => "BadRequestException",
    }
}
