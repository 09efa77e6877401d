//! Metrics of a server, and their exposition as Prometheus text.
//!
//! Each session counts its own messages, and adds them up here at most once a second, so that
//! memory that threads share is not written for every message.

use std::fmt;
use std::time::Duration;

use hyper::StatusCode;
use prometheus_client::encoding::{
    EncodeLabelSet, EncodeMetric, MetricEncoder, NoLabelSet, prometheus_text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::net::connection_info::{ConnectionInfo, Http, TlsVersion};
use crate::runtime::counter;
use crate::telemetry::DROPPED_LINES;
use crate::telemetry::api::ApiMetrics;
use crate::telemetry::cluster::{ClusterMetrics, Level};
use crate::telemetry::rejects::Rejects;
use crate::ws::close::{End, WORDS};
use crate::ws::deflate::PermessageDeflate;

pub(crate) use super::tally::{Tally, Traffic};

/// Media type of an exposition.
pub(crate) const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

/// Bounds of the histogram of handshake durations, in seconds.
const HANDSHAKE_BUCKETS: [f64; 9] = [0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 1.0, 10.0];

/// Bounds of the histogram of session durations, in seconds.
const SESSION_BUCKETS: [f64; 8] = [0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 21_600.0, 86_400.0];

/// Statuses with which upgrades are refused, unless a step of `do` asks for another.
const REFUSALS: [u16; 9] = [400, 403, 404, 405, 426, 431, 501, 503, 505];

/// Counters, gauges and histograms of a server.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    draining: Gauge,
    open: Family<Way, Gauge>,
    opened: Family<Way, Counter>,
    compression: Family<Takeover, Counter>,
    ended: Family<Why, Counter>,
    refused: Family<Status, Counter>,
    handshakes: Histogram,
    sessions: Histogram,
    messages: [Counter; 4],
    bytes: [Counter; 4],
    /// Heart beats that were sent.
    pub(crate) heart_beats: Counter,
    /// Pings that were sent.
    pub(crate) pings: Counter,
    /// Writes that had to wait for a peer.
    pub(crate) stalls: Counter,
}

/// Labels of a session's connection: the version of HTTP, and TLS.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Way {
    transport: &'static str,
    tls: &'static str,
}

impl From<ConnectionInfo> for Way {
    fn from(info: ConnectionInfo) -> Self {
        Self {
            transport: match info.http {
                Some(Http::Two) => "h2",
                _ => "h1",
            },
            tls: info.tls.map_or("none", TlsVersion::number),
        }
    }
}

/// Label of a session that may be compressed: which side keeps its window between messages.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Takeover {
    takeover: &'static str,
}

impl From<PermessageDeflate> for Takeover {
    fn from(agreed: PermessageDeflate) -> Self {
        let takeover = match (agreed.server_takeover, agreed.client_takeover) {
            (false, false) => "none",
            (false, true) => "client",
            (true, false) => "server",
            (true, true) => "both",
        };
        Self { takeover }
    }
}

/// Label of a session's end.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Why {
    why: &'static str,
}

/// Label of a refused upgrade.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Status {
    status: u16,
}

/// Labels of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Kind {
    direction: &'static str,
    kind: &'static str,
}

/// All kinds of messages, in the order in which they are counted.
const KINDS: [Kind; 4] = [
    Kind::new("received", "text"),
    Kind::new("received", "binary"),
    Kind::new("sent", "text"),
    Kind::new("sent", "binary"),
];

impl Kind {
    const fn new(direction: &'static str, kind: &'static str) -> Self {
        Self { direction, kind }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new(counter::Counter::default())
    }
}

impl Metrics {
    /// Metrics that begin at zero, except the given counter of `accept_errors`.
    pub(crate) fn new(accept_errors: counter::Counter) -> Self {
        let mut registry = Registry::default();
        super::process::register(&mut registry);
        let messages = Family::<Kind, Counter>::default();
        let bytes = Family::<Kind, Counter>::default();
        let mut metrics = Self {
            draining: Gauge::default(),
            open: Family::default(),
            opened: Family::default(),
            compression: Family::default(),
            ended: Family::default(),
            refused: Family::default(),
            handshakes: Histogram::new(HANDSHAKE_BUCKETS),
            sessions: Histogram::new(SESSION_BUCKETS),
            messages: KINDS.map(|kind| messages.get_or_create_owned(&kind)),
            bytes: KINDS.map(|kind| bytes.get_or_create_owned(&kind)),
            heart_beats: Counter::default(),
            pings: Counter::default(),
            stalls: Counter::default(),
            registry,
        };
        metrics.begin_at_zero();
        metrics.register_sessions();
        metrics.register_traffic(messages, bytes);
        let ours = metrics.registry.sub_registry_with_prefix("echobeat");
        ours.register(
            "accept_errors",
            "Errors of accept, but for those of one peer",
            accept_errors,
        );
        let help = "Log lines that were dropped, since nobody read them in time";
        ours.register("log_lines_dropped", help, DROPPED_LINES.clone());
        metrics
    }

    /// Exposes connections that were turned away before a request was understood.
    pub(crate) fn show_rejects(&mut self, rejects: &Rejects) {
        let ours = self.registry.sub_registry_with_prefix("echobeat");
        let help = "Connections that were turned away before a request was understood";
        ours.register("rejects", help, RejectCounts(rejects.counts().to_vec()));
    }

    /// Exposes what is counted of the API.
    pub(crate) fn show_api(&mut self, api: &ApiMetrics) {
        api.register(self.registry.sub_registry_with_prefix("echobeat"));
    }

    /// Exposes what is counted of the cluster.
    pub(crate) fn show_cluster(&mut self, cluster: &ClusterMetrics) {
        let ours = self.registry.sub_registry_with_prefix("echobeat_cluster");
        let help = "Whether NATS is connected";
        ours.register("connected", help, cluster.connected.clone());
        let help = "Nodes that are known, this one among them";
        ours.register("nodes", help, cluster.nodes.clone());
        for (name, help, counter) in cluster_counters(cluster) {
            ours.register(name, help, counter.clone());
        }
    }

    /// Creates the counters of all expected labels. If a counter appeared with its first event,
    /// Prometheus would not see that increase.
    fn begin_at_zero(&self) {
        for why in WORDS {
            self.ended.get_or_create_owned(&Why { why });
        }
        for takeover in ["none", "client", "server", "both"] {
            self.compression.get_or_create_owned(&Takeover { takeover });
        }
        for status in REFUSALS {
            self.refused.get_or_create_owned(&Status { status });
        }
    }

    fn register_sessions(&mut self) {
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        let ours = self.registry.sub_registry_with_prefix("echobeat");
        ours.register("build", "The program that runs", build);
        let (help, gauge) = ("Whether the server is shutting down", self.draining.clone());
        ours.register("draining", help, gauge);
        let help = "Sessions that are open";
        ours.register("sessions", help, self.open.clone());
        let help = "Sessions that were opened";
        ours.register("sessions_opened", help, self.opened.clone());
        let help = "Sessions that were opened with permessage-deflate";
        ours.register("compressed_sessions_opened", help, self.compression.clone());
        let help = "Sessions that have ended, by the word that the log has for it";
        ours.register("sessions_ended", help, self.ended.clone());
        let help = "Upgrades that were refused";
        ours.register("refusals", help, self.refused.clone());
        let help = "Time from accept to the answer that opened a session";
        let histogram = self.handshakes.clone();
        ours.register_with_unit("handshake_duration", help, Unit::Seconds, histogram);
        let help = "Time from the upgrade of a session to its end";
        let histogram = self.sessions.clone();
        ours.register_with_unit("session_duration", help, Unit::Seconds, histogram);
    }

    fn register_traffic(&mut self, messages: Family<Kind, Counter>, bytes: Family<Kind, Counter>) {
        let ours = self.registry.sub_registry_with_prefix("echobeat");
        let help = "Text and binary messages, heart beats among them";
        ours.register("messages", help, messages);
        let help = "Payload of these messages";
        ours.register_with_unit("payload", help, Unit::Bytes, bytes);
        let (help, counter) = ("Heart beats that were sent", self.heart_beats.clone());
        ours.register("heart_beats", help, counter);
        let (help, counter) = ("Pings that were sent", self.pings.clone());
        ours.register("pings", help, counter);
        let help = "Writes that had to wait for a peer to read";
        ours.register("write_stalls", help, self.stalls.clone());
    }

    /// Counts a session that begins, the duration of its handshake, and what it agreed on.
    pub(crate) fn begin(
        &self,
        info: ConnectionInfo,
        handshake: Duration,
        deflate: Option<PermessageDeflate>,
    ) -> SessionGuard {
        if let Some(agreed) = deflate {
            self.compression.get_or_create(&agreed.into()).inc();
        }
        let way = Way::from(info);
        self.handshakes.observe(handshake.as_secs_f64());
        self.opened.get_or_create(&way).inc();
        let open = self.open.get_or_create_owned(&way);
        open.inc();
        SessionGuard(open)
    }

    /// Counts the end of a session, and how long it lasted.
    pub(crate) fn end(&self, end: &End, lasted: Duration) {
        self.sessions.observe(lasted.as_secs_f64());
        let why = end.word();
        self.ended.get_or_create(&Why { why }).inc();
    }

    /// Counts an upgrade that is refused.
    pub(crate) fn refuse(&self, status: StatusCode) {
        let status = status.as_u16();
        self.refused.get_or_create(&Status { status }).inc();
    }

    /// Adds a session's tally to the counters.
    pub(crate) fn add(&self, tally: &Tally) {
        let all = tally.received.iter().chain(&tally.sent);
        for ((traffic, messages), bytes) in all.zip(&self.messages).zip(&self.bytes) {
            if traffic.messages > 0 {
                messages.inc_by(traffic.messages);
                bytes.inc_by(traffic.bytes);
            }
        }
    }

    /// Writes all metrics as Prometheus text.
    pub(crate) fn exposition(&self, is_draining: bool) -> String {
        self.draining.set(is_draining.into());
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = prometheus_text::encode(&mut text, &self.registry);
        text
    }
}

/// Guard of an open session: dropping it counts one session less.
#[derive(Debug)]
pub(crate) struct SessionGuard(Gauge);

impl Drop for SessionGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Names, descriptions and counters of a node of a cluster.
fn cluster_counters(
    cluster: &ClusterMetrics,
) -> [(&'static str, &'static str, &counter::Counter); 9] {
    [
        (
            "disconnections",
            "Times that NATS was lost",
            &cluster.disconnections,
        ),
        ("requests_sent", "Requests to other nodes", &cluster.sent),
        (
            "requests_received",
            "Requests of other nodes that were carried out",
            &cluster.received,
        ),
        (
            "silences",
            "Nodes that were asked and did not answer in time",
            &cluster.silent,
        ),
        (
            "late_answers",
            "Answers that came when nobody waited for them any more",
            &cluster.late_answers,
        ),
        (
            "late_requests",
            "Requests that came too late, and were not carried out",
            &cluster.late_requests,
        ),
        (
            "malformed_messages",
            "Messages that were none of a node",
            &cluster.malformed,
        ),
        (
            "other_versions",
            "Messages of a version that is not known",
            &cluster.other_versions,
        ),
        (
            "slow_reads",
            "Messages that came faster than they were read, and were dropped",
            &cluster.slow,
        ),
    ]
}

impl EncodeMetric for counter::Counter {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        encoder.encode_counter::<NoLabelSet, _, u64>(&self.get(), None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Counter
    }
}

impl EncodeMetric for Level {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        encoder.encode_gauge(&i64::try_from(self.get()).unwrap_or(i64::MAX))
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Gauge
    }
}

/// Counts of rejected connections, by their cause.
#[derive(Debug)]
struct RejectCounts(Vec<(&'static str, counter::Counter)>);

impl EncodeMetric for RejectCounts {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for (cause, count) in &self.0 {
            count.encode(encoder.encode_family(&[("cause", *cause)])?)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Counter
    }
}
