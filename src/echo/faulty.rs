//! Sessions that misbehave. They send the answer to their upgrade themselves.

use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::sleep;
use tracing::info;

use super::pending::{PendingSession, tear_down};
use crate::http::exchange::Exchange;
use crate::http::response::head_bytes;
use crate::http::stream::Receiver;
use crate::net::transport::{Hangup, Transport, has_left};
use crate::scenario::Step;
use crate::session::faulty::{self, Script};

impl PendingSession {
    /// Accepts the upgrade on `stream`, of which `early` was read already, and runs the session.
    pub(super) async fn misbehave_over_http1<S: Transport>(
        mut self,
        mut stream: S,
        early: Vec<u8>,
    ) {
        if !self.wait(|cx| stream.poll_hangup(cx)).await {
            return;
        }
        let head = head_bytes(&self.accept());
        self.misbehave(stream, &early, head).await;
    }

    /// Accepts the stream of `exchange`, and runs the session.
    pub(super) async fn misbehave_over_http2(mut self, exchange: Exchange) {
        let (request, mut respond) = exchange.into_parts();
        let mut receive = Receiver::from(request.into_body());
        if !self.wait(|cx| respond.poll_hangup(&mut receive, cx)).await {
            return;
        }
        if let Some(stream) = respond.accept(&self.accept(), receive) {
            self.misbehave(stream, &[], Vec::new()).await;
        }
    }

    /// Delays the answer if the scenario asks for that, but no longer than until the drain. Returns
    /// whether the peer still waits for it.
    async fn wait(&self, poll_hangup: impl FnMut(&mut Context<'_>) -> Poll<Hangup>) -> bool {
        let times = self.upgrade.handshake.scenario.steps();
        let time: Duration = times
            .filter_map(|step| match step {
                Step::Wait(time) => Some(*time),
                _ => None,
            })
            .sum();
        if time.is_zero() {
            return true;
        }
        tokio::select! {
            () = sleep(time) => true,
            _ = self.context.drain.begun() => true,
            _ = has_left(poll_hangup) => {
                let path = &self.upgrade.path;
                info!(parent: &self.context.info.span(), path, "the peer left before its answer");
                false
            }
        }
    }

    async fn misbehave<S: Transport>(self, stream: S, early: &[u8], head: Vec<u8>) {
        let guard = self.begin();
        let (mut upgrade, context) = self.into_parts();
        let script = Script {
            scenario: &upgrade.handshake.scenario,
            head,
            request_info: upgrade.request_info.take(),
        };
        let session = faulty::run(stream, early, script, context);
        let (report, stream) = session.await;
        drop(guard);
        tear_down(stream, report, upgrade.permit).await;
    }
}
