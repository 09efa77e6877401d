//! The connection to NATS: how it is made, and its state, which is logged when it changes.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{ClientError, ConnectOptions, Event, ServerAddr};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tracing::{debug, info, warn};

use crate::config::{ClusterConfig, Login};
use crate::telemetry::cluster::ClusterMetrics;

/// Time for a connection to a server of NATS, with TLS and login.
const CONNECT: Duration = Duration::from_secs(2);

/// Time for the first connection, where the server is not to start without.
const REQUIRED: Duration = Duration::from_secs(5);

/// Time between Pings to NATS. Three without an answer end the connection.
const PING: Duration = Duration::from_secs(1);

/// The longest time between two attempts to connect.
const RETRY: Duration = Duration::from_secs(1);

/// Messages that wait to be handled, for each of the three subscriptions. Beyond it they are dropped.
const WAITING: usize = 4096;

/// State of the connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) is_connected: bool,
    /// Number of the times that it was connected.
    pub(super) connects: u64,
    /// The last error.
    error: Option<String>,
}

/// The connection's state, and the log lines of its changes.
#[derive(Debug)]
pub(super) struct Link {
    servers: String,
    status: watch::Sender<Status>,
    metrics: ClusterMetrics,
}

impl Link {
    pub(super) fn new(config: &ClusterConfig, metrics: ClusterMetrics) -> Arc<Self> {
        let servers: Vec<_> = config.servers.iter().map(ToString::to_string).collect();
        Arc::new(Self {
            servers: servers.join(", "),
            status: watch::Sender::default(),
            metrics,
        })
    }

    pub(super) fn watch(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// Waits for the first connection, or, unless it is required, for the first failure.
    pub(super) async fn first(&self, is_required: bool) -> Result<(), String> {
        let mut status = self.watch();
        let deadline = Instant::now() + if is_required { REQUIRED } else { CONNECT };
        let settled =
            |status: &Status| status.is_connected || !is_required && status.error.is_some();
        let _ = timeout_at(deadline, status.wait_for(settled)).await;
        let status = self.status.borrow();
        match (status.is_connected, &status.error) {
            (true, _) => Ok(()),
            (false, Some(error)) => Err(format!("{}: {error}", self.servers)),
            (false, None) => Err(format!("{}: no answer in time", self.servers)),
        }
    }

    fn note(&self, event: Event) {
        match event {
            Event::Connected => {
                info!(nats = self.servers, "NATS is connected");
                self.metrics.connected.set(1);
                self.status.send_modify(|status| {
                    status.is_connected = true;
                    status.connects += 1;
                });
            }
            Event::Disconnected | Event::Closed => self.disconnect(),
            Event::SlowConsumer(_) => {
                self.metrics.slow.inc();
                debug!("messages of NATS came faster than they were read, and were dropped");
            }
            Event::ServerError(error) => warn!("NATS says: {error}"),
            Event::ClientError(error) => {
                debug!(%error, "NATS");
                let error = match error {
                    ClientError::Other(sentence) => sentence,
                    other => other.to_string(),
                };
                self.status.send_modify(|status| status.error = Some(error));
            }
            Event::LameDuckMode | Event::Draining => debug!("NATS: {event}"),
        }
    }

    fn disconnect(&self) {
        if self.status.borrow().is_connected {
            warn!("NATS is disconnected: this node works alone until it is back");
            self.metrics.connected.set(0);
            self.metrics.disconnections.inc();
            self.status
                .send_modify(|status| status.is_connected = false);
        }
    }
}

/// The servers of NATS, without their logins.
pub(super) fn addresses(config: &ClusterConfig) -> io::Result<Vec<ServerAddr>> {
    let addresses = config.servers.iter().map(|url| url.to_string().parse());
    addresses.collect()
}

/// Options of the connection. It is made again whenever it is lost.
pub(super) async fn options(
    config: &ClusterConfig,
    link: &Arc<Link>,
) -> io::Result<ConnectOptions> {
    let link = Arc::clone(link);
    let options = ConnectOptions::new()
        .name(format!("echobeat {}", config.node.as_str()))
        .no_echo()
        .retry_on_initial_connect()
        .connection_timeout(CONNECT)
        .ping_interval(PING)
        .reconnect_delay_callback(delay)
        .subscription_capacity(WAITING)
        .event_callback(move |event| {
            link.note(event);
            async {}
        });
    let login = config.servers.iter().find_map(|url| url.login());
    let options = match login.cloned() {
        None => options,
        Some(Login::Token(token)) => options.token(token),
        Some(Login::User { name, password }) => options.user_and_password(name, password),
    };
    match &config.credentials {
        None => Ok(options),
        Some(file) => options
            .credentials_file(file)
            .await
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", file.display()))),
    }
}

/// Time before an attempt to connect.
fn delay(attempts: usize) -> Duration {
    let attempts = u32::try_from(attempts).unwrap_or(u32::MAX);
    (Duration::from_millis(50).saturating_mul(attempts.saturating_sub(1))).min(RETRY)
}
