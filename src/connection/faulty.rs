//! Sessions that misbehave, from the answer to their upgrade on, which is theirs to send.

use std::time::Duration;

use tokio::time::sleep;

use super::{Opening, part};
use crate::http::exchange::Exchange;
use crate::scenario::Step;
use crate::session::faulty::{self, Script};
use crate::wire::Transport;

impl Opening {
    /// Accepts the upgrade on `stream`, of which `early` was read already, and runs the session.
    pub(super) async fn misbehave_over_http1<S: Transport>(self, stream: S, early: Vec<u8>) {
        self.wait().await;
        let head = self.upgrade.handshake.switching_protocols();
        let head = head.unwrap_or_default().into_bytes();
        self.misbehave(stream, &early, head).await;
    }

    /// Accepts the stream of `exchange`, and runs the session.
    pub(super) async fn misbehave_over_http2(self, exchange: Exchange) {
        self.wait().await;
        let answer = self.upgrade.handshake.response::<()>();
        if let Some(stream) = exchange.accept(&answer) {
            self.misbehave(stream, &[], Vec::new()).await;
        }
    }

    /// Puts the answer off, if that is asked for, but no longer than until the drain.
    async fn wait(&self) {
        let times = self.upgrade.handshake.scenario.steps().iter();
        let time: Duration = times
            .filter_map(|step| match step {
                Step::Wait(time) => Some(*time),
                _ => None,
            })
            .sum();
        if !time.is_zero() {
            tokio::select! {
                () = sleep(time) => {}
                _ = self.drain.begun() => {}
            }
        }
    }

    async fn misbehave<S: Transport>(self, stream: S, early: &[u8], head: Vec<u8>) {
        let guard = self.begin();
        let Self {
            mut upgrade,
            config,
            metrics,
            drain,
            caller,
            ..
        } = self;
        let script = Script {
            scenario: &upgrade.handshake.scenario,
            head,
            portrait: upgrade.portrait.take(),
        };
        let session = faulty::run(stream, early, script, &config, metrics, drain, caller);
        let (report, stream) = session.await;
        drop(guard);
        part(stream, report, upgrade.place).await;
    }
}
