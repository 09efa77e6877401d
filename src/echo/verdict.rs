//! The verdict on a handshake: the answer that an upgrade with a URL would get. Browsers tell a
//! page nothing about a WebSocket that was refused, so the [page](super::page) asks for it.
//!
//! It is a second representation of each URL, chosen by `Accept` (RFC 9110, section 12.5.1): a path
//! of its own could collide with one of a proxy in front, or of `--path`.

use hyper::header::{
    ACCEPT, CACHE_CONTROL, CONNECTION, HeaderName, HeaderValue, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE, VARY,
};
use hyper::{Method, Request, StatusCode, Version};
use serde_json::json;

use super::routes::Upgrade;
use crate::config::ServerConfig;
use crate::handshake::{self, Handshake};
use crate::http::Refusal;
use crate::http::http2::Protocol;
use crate::http::response::{self, Answer};
use crate::ws::subprotocol::Subprotocol;

/// Media type that a client accepts if it wants the verdict and nothing else.
const MEDIA_TYPE: &str = "application/vnd.echobeat.verdict+json";

/// The subprotocols that the upgrade would offer: no page may set the handshake's own header.
const OFFERS: HeaderName = HeaderName::from_static("echobeat-subprotocols");

/// Key of the upgrade: any will do.
const KEY: HeaderValue = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");

/// Whether a plain request asks for the verdict on its URL.
pub(super) fn is_asked_for<B>(request: &Request<B>) -> bool {
    handshake::has_token(request.headers().get_all(ACCEPT), MEDIA_TYPE)
}

/// The verdict, in JSON: the `status` that the upgrade would get, the `sentence` of a refusal, the
/// `problem` with the steps of its URL, if there is one, and the `subprotocol` that would be
/// selected. A refused upgrade need not have a problem. `accept` answers an upgrade.
pub(super) fn answer<B>(
    request: &Request<B>,
    config: &ServerConfig,
    accept: impl FnOnce(&Request<()>) -> Result<Box<Upgrade>, Refusal>,
) -> Answer {
    let steps = handshake::scenario(request.uri().query(), config);
    let problem = steps.err().map(|refusal| refusal.sentence);
    let (status, sentence, subprotocol) = match accept(&as_upgrade(request)) {
        Ok(upgrade) => {
            let Handshake { subprotocol, .. } = &upgrade.handshake;
            let response = upgrade.handshake.response::<()>();
            (response.status(), None, subprotocol.clone())
        }
        Err(refusal) => (refusal.status, Some(refusal.sentence), None),
    };
    let verdict = json!({
        "status": status.as_u16(),
        "sentence": sentence,
        "problem": problem,
        "subprotocol": subprotocol.as_ref().map(Subprotocol::as_str),
    });
    let mut answer = response::answer(StatusCode::OK, MEDIA_TYPE, verdict.to_string());
    for (name, value) in [(CACHE_CONTROL, "no-store"), (VARY, "accept")] {
        let value = HeaderValue::from_static(value);
        answer.headers_mut().insert(name, value);
    }
    answer
}

/// The upgrade that a browser would send in place of this request.
fn as_upgrade<B>(request: &Request<B>) -> Request<()> {
    let mut upgrade = Request::new(());
    *upgrade.uri_mut() = request.uri().clone();
    *upgrade.version_mut() = request.version();
    let mut headers = request.headers().clone();
    if let Some(offers) = headers.remove(OFFERS) {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, offers);
    }
    headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    if request.version() == Version::HTTP_2 {
        *upgrade.method_mut() = Method::CONNECT;
        let protocol = Protocol::from_static("websocket");
        upgrade.extensions_mut().insert(protocol);
    } else {
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_KEY, KEY);
    }
    *upgrade.headers_mut() = headers;
    upgrade
}
