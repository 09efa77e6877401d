//! Faults of a [scenario](Scenario) in the handshake.

use hyper::StatusCode;
use hyper::header::{ALLOW, HeaderValue, LOCATION, RETRY_AFTER, UPGRADE, WWW_AUTHENTICATE};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::{Acceptance, Handshake, Refusal, agreed, bad_request};
use crate::config::ServerConfig;
use crate::scenario::{self, Accept, Advice, Refuse, Scenario, Step};
use crate::ws::deflate;

/// Key to derive a wrong accept from: no client sends it, because it is not 16 bytes of Base64.
const WRONG_KEY: &[u8] = b"another key";

/// The scenario of a request with this query: the query's steps, on top of the server's own.
pub(crate) fn scenario(query: Option<&str>, config: &ServerConfig) -> Result<Scenario, Refusal> {
    if !config.faults && scenario::asked_for(query).is_some() {
        let sentence = "Faults on demand are switched off here: the URL may have no do.";
        return Err(Refusal::new(StatusCode::FORBIDDEN, sentence));
    }
    config.scenario.for_query(query).map_err(|error| {
        let mut refusal = Refusal::new(StatusCode::BAD_REQUEST, error.to_string());
        refusal.advice = Some(Scenario::usage());
        refusal
    })
}

impl Handshake {
    /// Applies the scenario's faults to a good handshake.
    pub(crate) fn distorted(mut self, config: &ServerConfig) -> Result<Self, Refusal> {
        // Of its steps, not all may be done in this connection.
        self.deflate = agreed(self.offer, config.compression, &self.scenario);
        for step in self.scenario.steps() {
            match step {
                Step::Refuse(refuse) => return Err(refusal(refuse)),
                Step::Accept(Accept::Unasked) => {
                    self.unasked = Some(match self.offer {
                        None => deflate::NAME,
                        Some(_) => deflate::OBSOLETE,
                    });
                    self.deflate = None;
                }
                Step::Accept(accept) => match &mut self.acceptance {
                    Acceptance::Upgrade(value) => *value = distorted(*accept),
                    Acceptance::Connect => {
                        return Err(no_accept_over_http2());
                    }
                },
                Step::Subprotocol(selected) => {
                    self.subprotocol.clone_from(selected);
                    self.passed_over = None;
                }
                _ => {}
            }
        }
        Ok(self)
    }
}

/// Refusal of a fault that HTTP/2 has no place for.
pub(crate) fn no_accept_over_http2() -> Refusal {
    bad_request("The step accept is for HTTP/1.1: HTTP/2 has no Sec-WebSocket-Accept.")
}

/// The `Sec-WebSocket-Accept` that a step asks for, if there is to be any.
pub(crate) fn distorted(accept: Accept) -> Option<String> {
    match accept {
        Accept::Wrong => Some(derive_accept_key(WRONG_KEY)),
        Accept::Absent | Accept::Unasked => None,
    }
}

/// The refusal that a step asks for.
pub(crate) fn refusal(refuse: &Refuse) -> Refusal {
    let status = StatusCode::from_u16(refuse.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let sentence = format!("This is what the step refuse:{refuse} asks for.");
    let mut refusal = Refusal::new(status, sentence);
    // Headers that these statuses must have (RFC 9110, sections 15.5.2, 15.5.6 and 15.5.22).
    refusal = match status {
        StatusCode::UNAUTHORIZED => refusal.with(WWW_AUTHENTICATE, "Basic realm=\"echobeat\""),
        StatusCode::METHOD_NOT_ALLOWED => refusal.with(ALLOW, "GET"),
        StatusCode::UPGRADE_REQUIRED => refusal.with(UPGRADE, "websocket"),
        _ => refusal,
    };
    match &refuse.advice {
        // Its characters were checked when the step was parsed.
        Some(Advice::Location(place)) => {
            if let Ok(place) = HeaderValue::from_str(place) {
                refusal.headers.push((LOCATION, place));
            }
        }
        Some(Advice::RetryAfter(time)) => {
            // In whole seconds (RFC 9110, section 10.2.3).
            let seconds = time.as_millis().div_ceil(1000) as u64;
            refusal.headers.push((RETRY_AFTER, seconds.into()));
        }
        None => {}
    }
    refusal
}
