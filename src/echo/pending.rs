//! Sessions from the acceptance of their upgrade to the end of their stream.

use futures_util::FutureExt;
use hyper::Response;
use hyper::header::{HeaderName, HeaderValue};
use tokio::time::Instant;
use tracing::info;

use super::redact::loggable;
use super::routes::Upgrade;
use crate::net::connection_info::ConnectionInfo;
use crate::net::linger::{PeerEnd, linger};
use crate::net::transport::Transport;
use crate::registry::connection::TcpEnd;
use crate::runtime::limit::Permit;
use crate::session::{self, Report, SessionContext};
use crate::telemetry::metrics::SessionGuard;
use crate::ws::close::Teardown;
use crate::ws::subprotocol::Subprotocol;

/// Header line of the answer to an upgrade, which names the connection for the API.
const CONNECTION_ID: &str = "echobeat-connection";

/// A session that is to begin.
pub(super) struct PendingSession {
    pub(super) upgrade: Box<Upgrade>,
    /// Moment at which its handshake began.
    pub(super) begun_at: Instant,
    pub(super) context: SessionContext,
}

impl PendingSession {
    /// Whether a scenario has the session misbehave.
    pub(super) fn is_faulty(&self) -> bool {
        !self.upgrade.handshake.scenario.is_default()
    }

    /// The response that accepts the upgrade. With an API it names the connection.
    pub(super) fn response(&self) -> Response<()> {
        let mut response = self.upgrade.handshake.response();
        let id = self
            .upgrade
            .admission
            .as_ref()
            .map(|admission| admission.id());
        if let Some(Ok(id)) = id.map(|id| HeaderValue::from_bytes(id.as_bytes())) {
            let name = HeaderName::from_static(CONNECTION_ID);
            response.headers_mut().insert(name, id);
        }
        response
    }

    /// Counts the session, and logs that it begins.
    pub(super) fn begin(&self) -> SessionGuard {
        let SessionContext { metrics, info, .. } = &self.context;
        let guard = metrics.begin(
            *info,
            self.begun_at.elapsed(),
            self.upgrade.handshake.deflate,
        );
        log_open(*info, &self.upgrade);
        guard
    }

    /// The upgrade, and the surroundings of its session. The registry learns of it here.
    pub(super) fn into_parts(mut self) -> (Box<Upgrade>, SessionContext) {
        let admission = self.upgrade.admission.take();
        let context = SessionContext {
            deflate: self.upgrade.handshake.deflate,
            connection: admission.map(|admission| admission.open()),
            ..self.context
        };
        (self.upgrade, context)
    }

    /// Runs a session that behaves well, to the end of its stream.
    pub(super) fn converse<S: Transport>(
        self,
        stream: S,
        early: Vec<u8>,
    ) -> impl Future<Output = ()> {
        let guard = self.begin();
        let (upgrade, context) = self.into_parts();
        let permit = upgrade.permit;
        let session = session::run(stream, &early, context);
        // Not an async block, which would have room for the session twice.
        session.then(move |(report, stream)| {
            drop(guard);
            tear_down(stream, report, permit)
        })
    }
}

/// Ends the stream of a session in the way that the report asks for.
pub(super) async fn tear_down<S: Transport>(stream: S, report: Report, _until_the_end: Permit) {
    let Report {
        teardown,
        connection,
        ..
    } = report;
    let tcp = match teardown {
        Teardown::Linger => match Box::pin(linger(stream)).await {
            PeerEnd::Closed => Some(TcpEnd::Fin),
            PeerEnd::Reset => Some(TcpEnd::Rst),
            PeerEnd::Late => Some(TcpEnd::Timeout),
        },
        Teardown::Drop => None,
        Teardown::Reset => {
            stream.reset();
            Some(TcpEnd::Rst)
        }
    };
    if let (Some(mut connection), Some(tcp)) = (connection, tcp) {
        connection.tcp_ended(tcp);
    }
}

fn log_open(info: ConnectionInfo, upgrade: &Upgrade) {
    let Upgrade {
        path, handshake, ..
    } = upgrade;
    let subprotocol = handshake.subprotocol.as_ref().map(Subprotocol::as_str);
    let subprotocol = subprotocol.map(loggable);
    let extension = handshake.deflate.map(|deflate| deflate.to_string());
    let scenario = &handshake.scenario;
    let scenario = (!scenario.is_default()).then(|| scenario.to_string());
    let id = upgrade.admission.as_ref().map(|admission| admission.id());
    match &handshake.passed_over {
        None => {
            let span = info.span();
            info!(parent: &span, path, id, subprotocol, extension, r#do = scenario, "open");
        }
        // A browser fails such a connection, and does not say why.
        Some(offered) => {
            let offered: Vec<_> = offered.split(", ").map(loggable).collect();
            let offered = offered.join(", ");
            let message = "open, without a subprotocol";
            let span = info.span();
            info!(parent: &span, path, id, offered, extension, r#do = scenario, "{message}");
        }
    }
}
