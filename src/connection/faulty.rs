//! Sessions that misbehave, from the answer to their upgrade on, which is theirs to send.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{log_open, part};
use crate::config::ServerConfig;
use crate::http::Upgrade;
use crate::http::exchange::Exchange;
use crate::listen::Caller;
use crate::metrics::Metrics;
use crate::scenario::Step;
use crate::session::faulty::{self, Script};
use crate::shutdown::Drain;
use crate::wire::Transport;

/// A session that is to misbehave.
pub(super) struct Faulty {
    pub(super) upgrade: Box<Upgrade>,
    pub(super) config: Arc<ServerConfig>,
    pub(super) metrics: Arc<Metrics>,
    /// When its handshake began.
    pub(super) begun_at: Instant,
    pub(super) drain: Drain,
    pub(super) caller: Caller,
}

impl Faulty {
    /// Accepts the upgrade on `stream`, of which `early` was read already, and runs the session.
    pub(super) async fn over_http1<S: Transport>(mut self, stream: S, early: Vec<u8>) {
        self.wait().await;
        let head = self.upgrade.handshake.switching_protocols();
        let head = head.unwrap_or_default().into_bytes();
        self.run(stream, &early, head).await;
    }

    /// Accepts the stream of `exchange`, and runs the session.
    pub(super) async fn over_http2(mut self, exchange: Exchange) {
        self.wait().await;
        let answer = self.upgrade.handshake.response::<()>();
        if let Some(stream) = exchange.accept(&answer) {
            self.run(stream, &[], Vec::new()).await;
        }
    }

    /// Puts the answer off, if that is asked for, but no longer than until the drain.
    async fn wait(&mut self) {
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

    async fn run<S: Transport>(self, stream: S, early: &[u8], head: Vec<u8>) {
        let Self {
            mut upgrade,
            config,
            metrics,
            begun_at,
            drain,
            caller,
        } = self;
        let guard = metrics.begin(caller, begun_at.elapsed());
        log_open(caller, &upgrade);
        let script = Script {
            scenario: &upgrade.handshake.scenario,
            head,
            portrait: upgrade.portrait.take(),
        };
        let session = faulty::run(stream, early, script, &config, metrics, drain, caller);
        let (report, stream) = session.await;
        guard.end(&report.end, report.lasted);
        part(stream, report, upgrade.place).await;
    }
}
