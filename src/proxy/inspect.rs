//! Tunnels as the API shows them.

use std::borrow::Cow;
use std::collections::BTreeSet;

use form_urlencoded::parse;
use hyper::header::{
    HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_PROTOCOL,
};
use hyper::{Request, Response, StatusCode};

use super::faults::take_parameter;
use crate::config::ApiConfig;
use crate::http::Refusal;
use crate::http::redact::header_lines;
use crate::net::connection_info::ConnectionInfo;
use crate::registry::connection::Description;
use crate::registry::{Admission, ConnectionHandle, Registry, name};

/// The parameter of a query that names a tunnel: `id` is for a server behind the proxy.
const PARAMETER: &str = "echobeat-id";

/// Header of the answer to an upgrade that names its tunnel.
const TUNNEL: HeaderName = HeaderName::from_static("echobeat-tunnel");

/// Shows tunnels to the API.
#[derive(Debug)]
pub(super) struct Inspector {
    pub(super) registry: Registry,
    /// Bytes of the largest message whose content is kept.
    keep_bytes: usize,
}

/// A tunnel that the API shows.
#[derive(Debug)]
pub(super) struct Inspected {
    pub(super) connection: Box<ConnectionHandle>,
    pub(super) keep_bytes: usize,
}

impl Inspector {
    pub(super) fn new(config: ApiConfig) -> Self {
        Self {
            keep_bytes: config.keep_bytes,
            registry: Registry::new(config),
        }
    }

    /// Takes the name of its tunnel out of a request, which is to be forwarded without it.
    pub(super) fn take_id<B>(&self, request: &mut Request<B>) -> Result<Option<String>, Refusal> {
        let query = request.uri().query().unwrap_or_default();
        let mut parameters = parse(query.as_bytes()).filter(|(name, _)| name == PARAMETER);
        let (id, other) = (parameters.next(), parameters.next());
        let Some(id) = id.map(|(_, id)| id.into_owned()) else {
            return Ok(None);
        };
        if other.is_some() {
            return Err(bad_request("There must be one echobeat-id, not several."));
        }
        take_parameter(request, PARAMETER);
        match name::check(&id) {
            Ok(()) => Ok(Some(id)),
            Err(rule) => Err(bad_request(format!("An echobeat-id {rule}."))),
        }
    }

    /// The description of the tunnel that a request is to become.
    pub(super) fn describe<B>(
        &self,
        request: &Request<B>,
        id: Option<String>,
        info: ConnectionInfo,
    ) -> Description {
        Description {
            id: id.unwrap_or_else(Registry::unique_id).into(),
            info,
            topics: BTreeSet::new(),
            path: request.uri().path().to_owned(),
            query: request.uri().query().map(str::to_owned),
            headers: header_lines(request.headers()),
            subprotocol: None,
            extensions: None,
        }
    }

    /// Opens the tunnel of an upgrade that is accepted by this answer, which is to name it.
    pub(super) fn open<B>(
        &self,
        mut description: Description,
        answer: &mut Response<B>,
    ) -> Inspected {
        let headers = answer.headers_mut();
        description.subprotocol = text(headers, &SEC_WEBSOCKET_PROTOCOL);
        description.extensions = text(headers, &SEC_WEBSOCKET_EXTENSIONS);
        if let Ok(id) = HeaderValue::from_bytes(description.id.as_bytes()) {
            headers.insert(TUNNEL, id);
        }
        Inspected {
            connection: Admission::new(self.registry.clone(), description).open(),
            keep_bytes: self.keep_bytes,
        }
    }
}

fn bad_request(sentence: impl Into<Cow<'static, str>>) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, sentence)
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let value = headers.get(name)?.as_bytes();
    Some(String::from_utf8_lossy(value).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(target: &str) -> Result<Option<String>, String> {
        let mut request = Request::builder().uri(target).body(()).unwrap();
        let inspector = Inspector::new(ApiConfig::default());
        let id = inspector.take_id(&mut request);
        id.map_err(|refusal| refusal.sentence.into_owned())
    }

    #[test]
    fn a_tunnel_has_one_name_that_a_header_can_have() {
        assert_eq!(id("/?a=b"), Ok(None));
        assert_eq!(id("/?echobeat-id=a%20b"), Ok(Some("a b".to_owned())));
        for (target, told) in [
            ("/?echobeat-id=a&echobeat-id=a", "not several"),
            ("/?echobeat-id=", "1 to 128 bytes"),
            ("/?echobeat-id=a%0d%0ab", "no control characters"),
            ("/?echobeat-id=%ff", "UTF-8"),
            ("/?echobeat-id=+a", "no space at its ends"),
        ] {
            let sentence = id(target).unwrap_err();
            assert!(sentence.contains(told), "{target}: {sentence}");
        }
    }
}
