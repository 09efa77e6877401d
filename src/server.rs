//! The server: listeners, the accept loop, and the drain that ends it.

use std::future::{pending, poll_fn};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{error, info, warn};

use crate::address::{BindError, Endpoint};
use crate::config::ServerConfig;
use crate::connection::EchoService;
use crate::listen::{Listener, Peer, Stream};
use crate::shutdown::{Drain, Shutdown};
use crate::tls::{Acceptor, TlsError};

/// Connections that may be on their way to a session at the same time: half-open handshakes by the
/// ten thousand fragment the heap. More of them wait in the kernel's backlog.
const MAX_OPENING: usize = 4096;

/// Time that plain HTTP has for its last answers, once the sessions have ended.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// An echobeat server that listens, and is ready to [serve](Self::serve).
///
/// Bind outside, serve inside: with port 0 a test learns the address before the server runs.
///
/// ```
/// use echobeat::{Server, ServerConfig};
/// use futures_util::{SinkExt, StreamExt};
/// use tokio::sync::oneshot;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let config = ServerConfig {
///     listen: vec!["127.0.0.1:0".parse()?],
///     ..ServerConfig::default()
/// };
/// let server = Server::bind(config).await?;
/// let address = server.endpoints()[0].socket_addr().ok_or("no TCP")?;
/// let (stop, stopped) = oneshot::channel::<()>();
/// let running = tokio::spawn(server.serve(async { drop(stopped.await) }));
///
/// let tcp = tokio::net::TcpStream::connect(address).await?;
/// let (mut client, _) = tokio_tungstenite::client_async("ws://localhost/", tcp).await?;
/// client.send("hello".into()).await?;
/// assert_eq!(client.next().await.ok_or("closed")??, "hello".into());
/// client.close(None).await?;
///
/// drop(stop);
/// running.await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Server {
    listeners: Vec<Listener>,
    endpoints: Vec<Endpoint>,
    tls: Option<Arc<Acceptor>>,
    config: ServerConfig,
}

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
#[non_exhaustive]
pub enum StartError {
    /// An address cannot be listened on.
    Bind(#[from] BindError),
    /// There is no certificate to show.
    Tls(#[from] TlsError),
}

impl Server {
    /// Reads or makes the certificate, if there is to be one, and listens on every address of
    /// `config`. Connections wait until the server [serves](Self::serve).
    ///
    /// # Errors
    /// When the certificate cannot be had, or an address cannot be listened on; then none is.
    pub async fn bind(config: ServerConfig) -> Result<Self, StartError> {
        let tls = match &config.tls {
            Some(source) => Some(Arc::new(Acceptor::new(source.clone(), &config.listen)?)),
            None => None,
        };
        let mut listeners = Vec::with_capacity(config.listen.len());
        for address in &config.listen {
            listeners.push(Listener::bind(address).await?);
        }
        let endpoints = listeners.iter().map(|l| l.endpoint().clone());
        let endpoints = match tls {
            Some(_) => endpoints.map(Endpoint::over_tls).collect(),
            None => endpoints.collect(),
        };
        Ok(Self {
            listeners,
            endpoints,
            tls,
            config,
        })
    }

    /// Where the server listens, with real ports, in the order of [`ServerConfig::listen`].
    #[must_use]
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// What speaks TLS, if this server does: with it the certificate can be replaced.
    #[must_use]
    pub fn tls(&self) -> Option<Arc<Acceptor>> {
        self.tls.clone()
    }

    /// Serves until `shutdown` is ready, and then drains: sessions are closed with 1001, spread
    /// over the first half of [`ServerConfig::drain`]; new ones are refused with 503; what is left
    /// when the time is up is dropped.
    ///
    /// When this returns, no task of the server's is left, and no address is listened on. Dropping
    /// it instead aborts them all.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) {
        let drain = self.config.drain;
        let service = Arc::new(EchoService::new(self.config, self.tls));
        let handler =
            |stream, peer, opening, drain| Arc::clone(&service).serve(stream, peer, opening, drain);
        let mut connections = Connections::new(self.listeners, handler);
        tokio::select! {
            () = shutdown => {}
            () = connections.accept_until(|| false) => {}
        }
        info!(sessions = service.sessions(), "draining");
        connections.signal.begin(drain / 2);
        let sessions_end = connections.accept_until(|| service.sessions() == 0);
        if timeout(drain, sessions_end).await.is_err() {
            warn!(
                sessions = service.sessions(),
                "dropping sessions that did not end in time"
            );
        }
        connections.finish().await;
    }
}

/// The accept loop, and the tasks of what it accepted. What a connection is for, the handler knows:
/// a function from a connection to the future that serves it.
struct Connections<H> {
    listeners: Vec<Listener>,
    handler: H,
    signal: Shutdown,
    opening: Arc<Semaphore>,
    tasks: JoinSet<()>,
}

impl<H, F> Connections<H>
where
    H: Fn(Stream, Peer, OwnedSemaphorePermit, Drain) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    fn new(listeners: Vec<Listener>, handler: H) -> Self {
        Self {
            listeners,
            handler,
            signal: Shutdown::new(),
            opening: Arc::new(Semaphore::new(MAX_OPENING)),
            tasks: JoinSet::new(),
        }
    }

    /// Accepts connections until `done`, which is asked whenever one begins or ends.
    async fn accept_until(&mut self, done: impl Fn() -> bool) {
        while !done() {
            tokio::select! {
                Some(ended) = self.tasks.join_next() => {
                    if let Err(panic) = ended {
                        error!(%panic, "a connection's task failed");
                    }
                }
                (stream, peer, opening) = accept(&mut self.listeners, &self.opening) => {
                    let drain = self.signal.subscribe();
                    self.tasks.spawn((self.handler)(stream, peer, opening, drain));
                }
            }
        }
    }

    /// Ends all tasks: those that answer plain HTTP get a moment to do so.
    async fn finish(mut self) {
        let rest = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(LAST_ANSWERS, rest).await.is_err() {
            self.tasks.shutdown().await;
        }
    }
}

/// Waits for a connection on any of the listeners, and for its place among those that open.
async fn accept(
    listeners: &mut [Listener],
    opening: &Arc<Semaphore>,
) -> (Stream, Peer, OwnedSemaphorePermit) {
    let Ok(permit) = Arc::clone(opening).acquire_owned().await else {
        return pending().await;
    };
    let (stream, peer) = poll_fn(|cx| {
        listeners
            .iter_mut()
            .map(|listener| listener.poll_accept(cx))
            .find(Poll::is_ready)
            .unwrap_or(Poll::Pending)
    })
    .await;
    (stream, peer, permit)
}
