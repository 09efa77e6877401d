//! Forwarding one request to the upstream, and its answer to the client.

use std::convert::Infallible;
use std::sync::Arc;

use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body, Bytes};
use hyper::header::EXPECT;
use hyper::{Method, Request, Response, StatusCode, Uri, Version};
use hyper_util::client::legacy;
use tokio::time::sleep;

use super::client::Requester;
use super::faults::Faults;
use super::framing;
use super::headers::{self, Asked};
use super::hop::Hop;
use super::inspect::Inspector;
use super::interim;
use super::tunnel::framed::Framing;
use super::upload::{self, Upload};
use super::upstream::{self, BoxError, Dialer, UpstreamFailure};
use crate::config::ProxyConfig;
use crate::handshake;
use crate::http::Refusal;
use crate::http::forwarded;
use crate::http::response::close_after;
use crate::net::connection_info::ConnectionInfo;
use crate::registry::Registry;
use crate::runtime::limit::{Limit, Permit};
use crate::runtime::shutdown::Drain;
use crate::tls::{MaybeTls, TlsError};

/// Reasons for which a request is not answered by the upstream.
pub(super) enum Fault {
    /// The request is refused.
    Refused(Refusal),
    /// The upstream does not answer it.
    Failed(UpstreamFailure),
}

impl Fault {
    /// The answer that the client gets instead.
    pub(super) fn into_refusal(self) -> Refusal {
        match self {
            Self::Refused(refusal) => refusal,
            Self::Failed(failure) => {
                let (status, sentence) = failure.answer();
                Refusal::new(status, sentence)
            }
        }
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<UpstreamFailure> for Fault {
    fn from(failure: UpstreamFailure) -> Self {
        Self::Failed(failure)
    }
}

/// A body on its way through the proxy.
pub(super) type Forwarded = UnsyncBoxBody<Bytes, BoxError>;

pub(super) type Answer = Response<Forwarded>;

/// An upgrade that the upstream has accepted.
pub(super) struct Switch {
    pub(super) path: String,
    /// The connection of the client, as log lines name it.
    pub(super) info: ConnectionInfo,
    pub(super) upstream: MaybeTls,
    pub(super) early: Vec<u8>,
    pub(super) permit: Permit,
    /// Framing of the tunnel, if it is to pass frames.
    pub(super) framed: Option<Box<Framing>>,
}

/// Forwards requests to one upstream.
#[derive(Debug)]
pub(super) struct Forwarder {
    config: ProxyConfig,
    hop: Arc<Hop>,
    pub(super) dialer: Dialer,
    requester: Requester,
    pub(super) faults: Faults,
    /// Shows the tunnels, if anybody is to see them.
    pub(super) inspector: Option<Inspector>,
    /// Limit of requests and tunnels.
    limit: Limit,
}

impl Forwarder {
    /// # Errors
    /// When the upstream speaks TLS, and there is no certificate to trust.
    pub(super) fn new(config: ProxyConfig) -> Result<Self, TlsError> {
        let dialer = Dialer::new(&config)?;
        Ok(Self {
            hop: Arc::new(Hop::new(
                config.upstream.clone(),
                config.upstream_host.clone(),
            )),
            requester: Requester::new(dialer.clone()),
            faults: Faults::new(&config),
            inspector: config.api.clone().map(Inspector::new),
            dialer,
            limit: Limit::new(config.max_connections),
            config,
        })
    }

    pub(super) fn config(&self) -> &ProxyConfig {
        &self.config
    }

    /// The connection of a request as its log lines name it: with the client, if a trusted proxy in
    /// front says who that is.
    pub(super) fn named<B>(&self, request: &Request<B>, info: ConnectionInfo) -> ConnectionInfo {
        forwarded::info(request.headers(), info, &self.config.trusted_proxies)
    }

    /// The registry of the tunnels, if anybody is to see them.
    pub(super) fn registry(&self) -> Option<Registry> {
        let inspector = self.inspector.as_ref()?;
        Some(inspector.registry.clone())
    }

    /// Number of requests and tunnels that are under way.
    pub(super) fn under_way(&self) -> usize {
        self.limit.taken()
    }

    /// Forwards a request of the client in `info`, and returns the upstream's answer. Interim
    /// responses go to `interims`. If the upstream accepts an upgrade, its stream is to become a
    /// tunnel.
    pub(super) async fn forward<B>(
        &self,
        mut request: Request<B>,
        info: ConnectionInfo,
        interims: &interim::Sender,
        drain: &Drain,
    ) -> Result<(Answer, Option<Switch>), Fault>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        handshake::check_head(&request)?;
        self.hop.check(request.headers())?;
        let permit = self.permit(drain)?;
        interims.attach(&mut request, &self.hop);
        let asked = self.faults.take(&mut request);
        let id = match &self.inspector {
            Some(inspector) => inspector.take_id(&mut request)?,
            None => None,
        };
        let answered = async {
            // Boxed: each layer around these futures moves them, with a connection of hyper inside.
            if handshake::is_asked_for(&request) {
                return Box::pin(self.upgrade(request, (asked, id), info, permit)).await;
            }
            if request.method() == Method::CONNECT {
                let sentence = "This proxy opens no tunnels by CONNECT.";
                return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, sentence).into());
            }
            framing::check_request(request.headers_mut())?;
            let request = request.map(Upload::new);
            Ok((Box::pin(self.pass(request, info, permit)).await?, None))
        };
        tokio::select! {
            answered = answered => answered,
            () = interims.flooded() => Err(UpstreamFailure::broken("interim responses without end").into()),
        }
    }

    fn permit(&self, drain: &Drain) -> Result<Permit, Refusal> {
        if drain.has_begun() {
            return Err(Refusal::unavailable("The proxy is shutting down."));
        }
        let full = "The proxy has all the connections that it may have.";
        self.limit.take().ok_or_else(|| Refusal::unavailable(full))
    }

    /// Forwards a plain request, with its body as it comes, and the answer with its own.
    async fn pass(
        &self,
        request: Request<Upload>,
        info: ConnectionInfo,
        permit: Permit,
    ) -> Result<Answer, Fault> {
        let upload = request.body().clone();
        let mut request = self.rewrite(request, info)?;
        let method = request.method().clone();
        framing::frame_request(&method, !upload.is_over(), request.headers_mut());
        let may_wait = request.headers().contains_key(EXPECT);
        let mut response = tokio::select! {
            response = self.requester.send(request) => response.map_err(fault_of)?,
            () = self.silence(&upload) => return Err(late(&upload, may_wait)),
        };
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(UpstreamFailure::broken("a 101 that nobody asked for").into());
        }
        self.rewrite_response(&mut response)?;
        if !upload.is_over() {
            // The client may send the rest of the body, or not (RFC 9110, section 10.1.1).
            close_after(&mut response);
        }
        Ok(response.map(|body| held(body, permit)))
    }

    /// Waits until the request's body has made no progress for the time that an answer may take.
    async fn silence(&self, upload: &Upload) {
        let mut before = None;
        loop {
            let now = upload.frames();
            if before == Some(now) {
                return;
            }
            before = Some(now);
            sleep(self.config.response_timeout).await;
        }
    }

    /// Turns a client's request into that to the upstream.
    pub(super) fn rewrite<B>(
        &self,
        mut request: Request<B>,
        info: ConnectionInfo,
    ) -> Result<Request<B>, Refusal> {
        let config = &self.config;
        let authority = request.uri().authority().cloned();
        let asked = Asked {
            peer: info.peer,
            is_trusted: forwarded::is_trusted(info.peer, &config.trusted_proxies),
            version: request.version(),
            tls: info.tls.is_some(),
            authority: authority.as_ref(),
        };
        let upstream = &config.upstream;
        headers::forward_request(request.headers_mut(), &asked, &self.hop);
        let bad = || Refusal::new(StatusCode::BAD_REQUEST, "The path cannot be forwarded.");
        let target = request.uri().path_and_query();
        let target = headers::join(upstream, request.method(), target).ok_or_else(bad)?;
        *request.uri_mut() = Uri::builder()
            .scheme(if upstream.is_tls() { "https" } else { "http" })
            .authority(upstream.authority())
            .path_and_query(target)
            .build()
            .map_err(|_| bad())?;
        *request.version_mut() = Version::HTTP_11;
        Ok(request)
    }

    /// Turns the upstream's response into that to the client, in this proxy's version of HTTP (RFC
    /// 9110, section 6.2).
    pub(super) fn rewrite_response<B>(
        &self,
        response: &mut Response<B>,
    ) -> Result<(), UpstreamFailure> {
        framing::check_response(response.headers_mut())?;
        let (status, version) = (response.status(), response.version());
        headers::forward_response(status, version, response.headers_mut(), &self.hop);
        *response.version_mut() = Version::HTTP_11;
        Ok(())
    }
}

/// A body that holds its permit until it has gone out.
pub(super) fn held<B>(body: B, permit: Permit) -> Forwarded
where
    B: Body<Data = Bytes, Error = hyper::Error> + Send + 'static,
{
    let holding = body.map_frame(move |mut frame| {
        let _ = &permit;
        if let Some(trailers) = frame.trailers_mut() {
            headers::forward_trailers(trailers);
        }
        frame
    });
    holding.map_err(Into::into).boxed_unsync()
}

/// The fault of a late answer. A client that may be waiting for a 100 is not late itself.
fn late(upload: &Upload, may_wait: bool) -> Fault {
    if !upload.is_awaited() || may_wait && upload.frames() == 0 {
        return UpstreamFailure::LateAnswer.into();
    }
    let sentence = "The request's body has stopped before its end.";
    Refusal::new(StatusCode::REQUEST_TIMEOUT, sentence).into()
}

/// Finds whose fault an error is: the client's, whose body is broken, or the upstream's.
fn fault_of(error: legacy::Error) -> Fault {
    if let Some(cause) = upload::broken_upload(&error) {
        let sentence = format!("The request's body is broken: {cause}.");
        return Refusal::new(StatusCode::BAD_REQUEST, sentence).into();
    }
    let own = upstream::causes(&error).find_map(|cause| cause.downcast_ref::<UpstreamFailure>());
    own.cloned()
        .unwrap_or_else(|| UpstreamFailure::broken(error))
        .into()
}

/// The error of a body that cannot fail, which no body of our own can.
pub(super) fn never(impossible: Infallible) -> BoxError {
    match impossible {}
}
