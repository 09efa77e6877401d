//! Request info, which the step `who` of a scenario asks for: a request as the server saw it,
//! behind all the proxies that there may be.

use hyper::Request;
use serde_json::json;

use crate::handshake::{self, Handshake};
use crate::http::redact::header_lines;
use crate::net::connection_info::{ConnectionInfo, Http};
use crate::platform;
use crate::ws::subprotocol::Subprotocol;

/// The request info, in JSON. Header lines are in their order, but those of the same name stand
/// together. Names are in lower case, bytes of a value that are not UTF-8 are replaced, and
/// [secrets](crate::http::redact) are redacted. With an API, `id` is the name of the connection there.
pub(super) fn request_info<B>(
    request: &Request<B>,
    handshake: &Handshake,
    info: ConnectionInfo,
    id: Option<&str>,
) -> String {
    let headers = request.headers();
    let target = request.uri().path_and_query();
    let http = match info.http {
        Some(Http::Two) => "2",
        _ => "1.1",
    };
    let mut request_info = json!({
        "connection": info.number,
        "peer": info.peer.to_string(),
        "transport": {
            "http": http,
            "stream": info.stream,
            "tls": info.tls.map(|version| version.number()),
        },
        "authority": request.uri().authority().map(|authority| authority.as_str()),
        "path": target.map(|target| target.as_str()),
        "headers": header_lines(headers),
        "subprotocols": {
            "offered": handshake::offers(headers).collect::<Vec<_>>(),
            "selected": handshake.subprotocol.as_ref().map(Subprotocol::as_str),
        },
        "extensions": {
            "offered": handshake::extension_offers(headers).collect::<Vec<_>>(),
            "agreed": handshake.deflate.map(|deflate| deflate.to_string()),
        },
        "do": handshake.scenario.to_string(),
        "server": platform::host_name(),
    });
    if let Some(id) = id {
        request_info["id"] = id.into();
    }
    request_info.to_string()
}
