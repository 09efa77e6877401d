//! Sessions from the acceptance of their upgrade to the end of their stream.

use std::sync::Arc;

use futures_util::FutureExt;
use hyper::Response;
use hyper::header::{HeaderName, HeaderValue};
use tokio::time::Instant;
use tracing::info;

use super::routes::Upgrade;
use crate::http::redact::loggable;
use crate::net::connection_info::ConnectionInfo;
use crate::net::linger::linger;
use crate::net::transport::Transport;
use crate::registry::connection::{Side, TcpEnd};
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

    /// Opens the connection in the registry, and returns the response that accepts the upgrade and
    /// names the connection. The client may ask for it as soon as it has the response.
    pub(super) fn accept(&mut self) -> Response<()> {
        let mut response = self.upgrade.handshake.response();
        let Some(admission) = self.upgrade.admission.take() else {
            return response;
        };
        let id = Arc::clone(admission.id());
        if let Ok(id) = HeaderValue::from_bytes(id.as_bytes()) {
            let name = HeaderName::from_static(CONNECTION_ID);
            response.headers_mut().insert(name, id);
        }
        self.upgrade.id = Some(id);
        self.context.connection = Some(admission.open());
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

    /// The upgrade, and the surroundings of its session.
    pub(super) fn into_parts(self) -> (Box<Upgrade>, SessionContext) {
        let context = SessionContext {
            deflate: self.upgrade.handshake.deflate,
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
        Teardown::Linger => Box::pin(linger(stream)).await.map(TcpEnd::from),
        Teardown::Drop => None,
        Teardown::Reset => {
            stream.reset();
            Some(TcpEnd::Rst(Side::Server))
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
    let id = upgrade.id.as_deref();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::tasks::Stage;
    use crate::tls::MaybeTls;

    /// Bytes of the stage of an idle session. jemalloc has boxes of 320, 384 and 448 bytes, and each
    /// session takes one: of 10,000 idle ones, a step to the next takes 625 KiB more.
    const STAGE_SIZE: usize = 384;

    fn size_of_result<T>(_: impl FnOnce(PendingSession, MaybeTls) -> T) -> usize {
        size_of::<T>()
    }

    #[test]
    fn the_stage_of_a_session_fits_its_box() {
        let size = size_of_result(|pending, stream| {
            let session = pending.converse(stream, Vec::new());
            session.map(|()| None::<Stage>)
        });
        assert!(size <= STAGE_SIZE, "{size} bytes");
    }
}
