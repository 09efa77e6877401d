//! A service, and how a connection reaches it: over TLS or not, by the version of HTTP that its
//! client speaks.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::negotiate::{Negotiated, Negotiator, PendingConnection};
use crate::net::connection_info::Peer;
use crate::net::linger::linger;
use crate::net::stream::{Prefixed, Stream};
use crate::runtime::shutdown::Drain;
use crate::runtime::tasks::Stage;
use crate::tls::MaybeTls;

/// Answers requests on connections: the echo server, or the proxy.
pub(crate) trait Service: Send + Sync + 'static {
    /// The negotiator of its connections.
    fn negotiator(&self) -> &Negotiator;

    /// Number of sessions, or of requests and tunnels, that the drain waits for.
    fn under_way(&self) -> usize;

    /// Sets options of a socket that was just accepted.
    fn prepare(&self, _stream: &Stream) {}

    /// Answers requests of HTTP/1.1 until the connection ends or becomes something else.
    fn open_http1(
        &self,
        stream: Prefixed<MaybeTls>,
        connection: PendingConnection,
    ) -> impl Future<Output = Option<Stage>> + Send;

    /// Answers requests of HTTP/2.
    fn open_http2(&self, stream: Prefixed<MaybeTls>, connection: PendingConnection) -> Stage;
}

/// Serves one connection to its end. Once it is a session or a tunnel, the permit `opening` is
/// released.
pub(super) fn serve<S: Service>(
    service: Arc<S>,
    stream: Stream,
    peer: Peer,
    opening: OwnedSemaphorePermit,
    drain: Drain,
) -> Stage {
    service.prepare(&stream);
    let connection = service.negotiator().connection(peer, opening, drain);
    Stage::new(open(service, stream, connection))
}

async fn open<S: Service>(
    service: Arc<S>,
    stream: Stream,
    mut connection: PendingConnection,
) -> Option<Stage> {
    match service.negotiator().enter(stream, &mut connection).await {
        Negotiated::Http1(stream) => service.open_http1(stream, connection).await,
        Negotiated::Http2(stream) => Some(service.open_http2(stream, connection)),
        Negotiated::Refused(stream) => Some(Stage::last(linger(stream))),
        Negotiated::Over => None,
    }
}
