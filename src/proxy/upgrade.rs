//! Forwarding an upgrade, which becomes a tunnel if the upstream accepts it.

use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::header::{
    CONNECTION, HeaderMap, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS,
    SEC_WEBSOCKET_KEY, UPGRADE,
};
use hyper::{Method, Request, Response, StatusCode, Uri, Version};
use tokio::time::sleep;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;

use super::extensions;
use super::faults::{Asked, distort};
use super::forward::{Answer, Fault, Forwarder, Switch, held, never};
use super::inspect::Inspector;
use super::tunnel::framed::Framing;
use super::upstream::{self, Answered, UpstreamFailure};
use crate::handshake;
use crate::http::Refusal;
use crate::http::response::close_after;
use crate::net::connection_info::ConnectionInfo;
use crate::registry::connection::Description;
use crate::runtime::limit::Permit;
use crate::scenario::{Step, TunnelScenario};

impl Forwarder {
    /// Forwards an upgrade, which becomes a tunnel if the upstream accepts it.
    pub(super) async fn upgrade<B>(
        &self,
        request: Request<B>,
        (asked, id): (Option<Asked>, Option<String>),
        info: ConnectionInfo,
        permit: Permit,
    ) -> Result<(Answer, Option<Switch>), Fault> {
        let is_http2 = request.version() == Version::HTTP_2;
        let request = match is_http2 {
            true => from_connect(request)?,
            false => handshake::check_upgrade(&request).map(|()| request)?,
        };
        let accept = handshake::accept_key(request.headers())?;
        let scenario = match asked {
            Some(asked) => self.faults.choose(&asked, is_http2)?,
            None => TunnelScenario::default(),
        };
        let named = self.named(&request, info);
        let inspected = self.inspector.as_ref();
        let plan = Plan {
            scenario,
            inspected: inspected.map(|it| (it, it.describe(&request, id, named))),
        };
        let mut upgrade = Upgrade {
            path: request.uri().path().to_owned(),
            info: named,
            is_http2,
            accept,
            has_offers: false,
        };
        let mut request = as_upgrade(self.rewrite(request, info)?);
        upgrade.has_offers = plan.prepare(request.headers_mut());
        let stream = self.dialer.connect().await?;
        let patience = self.config().response_timeout;
        let answered = upstream::ask(stream, request, is_http2, patience).await?;
        sleep(plan.wait()).await;
        self.settle(answered, upgrade, plan, permit)
    }

    /// Turns the upstream's answer into that for the client, and into a tunnel if it accepts.
    fn settle(
        &self,
        answered: Answered,
        upgrade: Upgrade,
        plan: Plan<'_>,
        permit: Permit,
    ) -> Result<(Answer, Option<Switch>), Fault> {
        match answered {
            Answered::Other(answer) if upgrade.is_http2 && answer.status().is_success() => {
                // The client would take this success for an acceptance (RFC 8441, section 5).
                Err(UpstreamFailure::broken("a success that is no upgrade").into())
            }
            Answered::Other(mut answer) => {
                self.rewrite_response(&mut answer)?;
                close_after(&mut answer);
                Ok((answer.map(|body| held(body, permit)), None))
            }
            Answered::Switched(answer, ..) if !accepts(&answer, &upgrade.accept) => {
                Err(UpstreamFailure::broken("a 101 that does not accept the upgrade").into())
            }
            Answered::Switched(mut answer, upstream, early) => {
                self.rewrite_response(&mut answer)?;
                let framed = plan.complete(&mut answer, upgrade.has_offers)?;
                if upgrade.is_http2 {
                    answer.headers_mut().remove(SEC_WEBSOCKET_ACCEPT);
                    *answer.status_mut() = StatusCode::OK;
                }
                let switch = Switch {
                    path: upgrade.path,
                    info: upgrade.info,
                    upstream,
                    early,
                    permit,
                    framed,
                };
                let answer = answer.map(|()| Empty::new().map_err(never).boxed_unsync());
                Ok((answer, Some(switch)))
            }
        }
    }
}

/// An upgrade that was forwarded.
struct Upgrade {
    path: String,
    /// The client's connection, as log lines name it.
    info: ConnectionInfo,
    is_http2: bool,
    /// Accept key that the upstream must answer with.
    accept: String,
    /// Whether the client has offered an extension.
    has_offers: bool,
}

/// Steps for an upgrade and its tunnel, and the tunnel's description for the API.
struct Plan<'a> {
    scenario: TunnelScenario,
    /// The inspector that shows the tunnel to the API, and the tunnel's description.
    inspected: Option<(&'a Inspector, Description)>,
}

impl Plan<'_> {
    /// Whether the tunnel is to pass frames.
    fn is_framed(&self) -> bool {
        self.inspected.is_some() || self.scenario.is_framed()
    }

    /// Prepares the headers of the request to the upstream, and returns whether the client has
    /// offered an extension.
    fn prepare(&self, headers: &mut HeaderMap) -> bool {
        match self.is_framed() {
            true => extensions::rewrite_offers(headers),
            false => headers.contains_key(SEC_WEBSOCKET_EXTENSIONS),
        }
    }

    /// Time by which the answer is to be late.
    fn wait(&self) -> Duration {
        let times = self.scenario.down.steps().filter_map(|step| match step {
            Step::Wait(time) => Some(*time),
            _ => None,
        });
        times.sum()
    }

    /// Completes the answer to a client whose upgrade is accepted. Returns the framing of the
    /// tunnel, if it is to pass frames.
    fn complete(
        self,
        answer: &mut Response<()>,
        has_offers: bool,
    ) -> Result<Option<Box<Framing>>, UpstreamFailure> {
        let is_framed = self.is_framed();
        if is_framed {
            extensions::rewrite_choice(answer.headers_mut())?;
        }
        distort(answer, &self.scenario.down, has_offers);
        let inspected = self.inspected;
        let framing = is_framed.then(|| Framing {
            scenario: self.scenario,
            inspected: inspected.map(|(inspector, it)| inspector.open(it, answer)),
        });
        Ok(framing.map(Box::new))
    }
}

/// Turns an extended CONNECT into the upgrade that it stands for, with a key of its own (RFC 8441,
/// section 5).
fn from_connect<B>(mut request: Request<B>) -> Result<Request<B>, Refusal> {
    handshake::check_connect(&request)?;
    *request.method_mut() = Method::GET;
    if let Ok(key) = HeaderValue::try_from(generate_key()) {
        request.headers_mut().insert(SEC_WEBSOCKET_KEY, key);
    }
    Ok(request)
}

/// Makes a rewritten request the only one of a connection of its own.
fn as_upgrade<B>(request: Request<B>) -> Request<Empty<Bytes>> {
    let mut request = request.map(|_none| Empty::new());
    let headers = request.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    // The target must be a path (RFC 9112, section 3.2.1). hyper's pool would see to that, but is
    // not used.
    let target = request.uri().path_and_query().cloned();
    *request.uri_mut() = target.map_or(Uri::from_static("/"), Uri::from);
    request
}

/// Whether a 101 accepts the handshake that has this accept key (RFC 6455, section 4.1).
fn accepts(answer: &Response<()>, accept: &str) -> bool {
    if answer.version() < Version::HTTP_11 {
        // HTTP/1.0 has no interim responses, and no upgrades (RFC 9110, section 15.2).
        return false;
    }
    let headers = answer.headers();
    let mut keys = headers.get_all(SEC_WEBSOCKET_ACCEPT).iter();
    handshake::has_token(headers.get_all(UPGRADE), "websocket")
        && handshake::has_token(headers.get_all(CONNECTION), "upgrade")
        && keys.next().is_some_and(|key| key == accept)
        && keys.next().is_none()
}
