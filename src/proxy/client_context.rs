//! The context of a client's connection or stream: its requests are answered, in place of the
//! upstream if need be, and its tunnels run.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes};
use hyper::{Method, Request};
use tracing::{debug, info};

use super::forward::{Answer, Fault, Forwarded, Forwarder, Switch, never};
use super::interim;
use super::tunnel::framed::{self, Framing};
use super::tunnel::{self, End, Report, Side, TunnelEnd};
use super::upstream::{BoxError, UpstreamFailure};
use crate::config::ProxyConfig;
use crate::http::Refusal;
use crate::http::response::{close_after, refuse};
use crate::net::connection_info::ConnectionInfo;
use crate::net::linger::linger;
use crate::net::transport::Transport;
use crate::runtime::shutdown::Drain;
use crate::ws::close::Teardown;

/// The context of a client's connection, or of one of its streams.
#[derive(Clone)]
pub(super) struct ClientContext {
    pub(super) forwarder: Arc<Forwarder>,
    pub(super) info: ConnectionInfo,
    pub(super) drain: Drain,
}

impl ClientContext {
    fn config(&self) -> &ProxyConfig {
        self.forwarder.config()
    }

    /// The context of one of the connection's streams.
    pub(super) fn on(&self, info: ConnectionInfo) -> Self {
        Self {
            info,
            ..self.clone()
        }
    }

    /// Answers a request, with the upstream's answer or with one in place of it. Interim responses
    /// go to `interims`.
    pub(super) async fn answer<B>(
        &self,
        request: Request<B>,
        interims: interim::Sender,
    ) -> (Answer, Option<Switch>)
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let info = self.forwarder.named(&request, self.info);
        let forwarded = (self.forwarder).forward(request, self.info, &interims, &self.drain);
        let (answer, switch) = forwarded.await.unwrap_or_else(|fault| {
            self.log_fault(info, &fault, &method, &path);
            (own_answer(&fault.into_refusal()), None)
        });
        let status = answer.status().as_u16();
        debug!(parent: &info.span(), %method, path, status, "answered");
        (
            answer.map(|body| self.watched(info, body, method, path)),
            switch,
        )
    }

    /// The body of an answer, which logs its own failure.
    fn watched(
        &self,
        info: ConnectionInfo,
        body: Forwarded,
        method: Method,
        path: String,
    ) -> Forwarded {
        let (span, upstream) = (info.span(), self.config().upstream.clone());
        body.map_err(move |error| {
            let cause = UpstreamFailure::broken(error);
            info!(parent: &span, %method, path, %upstream, %cause, "answer cut short");
            cause.into()
        })
        .boxed_unsync()
    }

    fn log_fault(&self, info: ConnectionInfo, fault: &Fault, method: &Method, path: &str) {
        match fault {
            Fault::Refused(refusal) => {
                let (status, reason) = (refusal.status.as_u16(), &*refusal.sentence);
                info!(parent: &info.span(), %method, path, status, reason, "refused");
            }
            Fault::Failed(cause) => {
                let status = cause.answer().0.as_u16();
                let upstream = &self.config().upstream;
                info!(parent: &info.span(), %method, path, status, %upstream, %cause, "failed");
            }
        }
    }

    /// Runs a tunnel to its end, and then ends both connections as that end asks for.
    pub(super) async fn tunnel<S>(self, mut client: S, early: Vec<u8>, switch: Switch)
    where
        S: Transport,
    {
        let Switch {
            path,
            info,
            mut upstream,
            early: early_of_upstream,
            permit,
            framed,
        } = switch;
        let config = self.config();
        self.log_open(info, &path, framed.as_deref());
        let ends = (
            TunnelEnd {
                stream: &mut client,
                early,
            },
            TunnelEnd {
                stream: &mut upstream,
                early: early_of_upstream,
            },
        );
        let drain = self.drain.clone();
        let (report, connection) = match framed {
            None => (tunnel::run(ends.0, ends.1, config, drain).await, None),
            // Boxed, because a tunnel of bytes would have room for it too.
            Some(framed) => Box::pin(framed::run(ends.0, ends.1, *framed, config, drain)).await,
        };
        drop(permit);
        log_end(info, &report);
        tear_down(&report.end, client, upstream, config.send_timeout).await;
        // For the API, the tunnel is closed once its connections are.
        drop(connection);
    }

    fn log_open(&self, info: ConnectionInfo, path: &str, framed: Option<&Framing>) {
        let upstream = &self.config().upstream;
        let steps = framed.and_then(Framing::steps);
        info!(parent: &info.span(), path, %upstream, steps, "open");
    }
}

fn log_end(info: ConnectionInfo, report: &Report) {
    info!(
        parent: &info.span(),
        why = report.end.word(),
        reason = report.end.to_string(),
        bytes_in = report.bytes_in,
        bytes_out = report.bytes_out,
        seconds = report.lasted.as_millis() as f64 / 1e3,
        "end",
    );
}

/// Ends both connections as the end of their tunnel asks for. Those that end in order have up to
/// `send_timeout` to send what is left.
async fn tear_down<C, U>(end: &End, client: C, upstream: U, send_timeout: Duration)
where
    C: Transport,
    U: Transport,
{
    match end {
        End::Asked { to, teardown, .. } => {
            Box::pin(cut(client, upstream, *to, *teardown)).await;
        }
        End::ByApi(Teardown::Reset) => {
            client.reset();
            upstream.reset();
        }
        End::ByApi(_) => {
            Box::pin(cut(client, upstream, Side::Client, Teardown::Linger)).await;
        }
        end if end.is_abort() => {
            client.reset();
            upstream.reset();
        }
        _ => {
            client.linger_at_most(send_timeout);
            upstream.linger_at_most(send_timeout);
        }
    }
}

/// Ends both connections as a step for the way `to` a side asks for: that side as the step says, and
/// the other in order.
async fn cut<C, U>(client: C, upstream: U, to: Side, teardown: Teardown)
where
    C: Transport,
    U: Transport,
{
    match (teardown, to) {
        (Teardown::Reset, Side::Client) => {
            client.reset();
            linger(upstream).await;
        }
        (Teardown::Reset, Side::Upstream) => {
            upstream.reset();
            linger(client).await;
        }
        _ => {
            tokio::join!(linger(client), linger(upstream));
        }
    }
}

/// An answer that does not come from the upstream.
fn own_answer(refusal: &Refusal) -> Answer {
    let mut answer = refuse(refusal).map(|body| Full::new(body).map_err(never).boxed_unsync());
    close_after(&mut answer);
    answer
}
