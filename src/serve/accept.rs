//! Listeners, the accept loop, and the drain that ends it.

use std::fmt::Display;
use std::future::{pending, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::{info, warn};

use super::service::{self, Service};
use crate::config::CertificateSource;
use crate::net::address::{Address, BindError, Endpoint};
use crate::net::connection_info::Peer;
use crate::net::listener::Listener;
use crate::net::stream::Stream;
use crate::runtime::counter::Counter;
use crate::runtime::shutdown::{Drain, Shutdown};
use crate::runtime::tasks::Tasks;
use crate::tls::{Acceptor, TlsError};

/// Most connections that may be on their way to a session at the same time: ten thousand half-open
/// handshakes fragment the heap. Further connections wait in the kernel's backlog.
const MAX_OPENING: usize = 4096;

/// Time for the last answers to plain HTTP requests, once the sessions have ended.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// Time after which a slow part of the start is logged.
const LONG: Duration = Duration::from_secs(1);

/// Error that keeps a server or a proxy from starting.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// An address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// There is no certificate to show, or none to trust.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The cluster cannot be joined.
    #[error("cannot connect to NATS: {0}")]
    Nats(String),
    /// A part of the server is asked for that this build is without: the feature of this name.
    #[error("this build of echobeat is without the feature {0}")]
    NotBuilt(&'static str),
}

impl StartError {
    /// Fails if a part is asked for that this build is without.
    pub(crate) fn unless_built(
        feature: &'static str,
        is_built: bool,
        is_wanted: bool,
    ) -> Result<(), Self> {
        match is_wanted && !is_built {
            true => Err(Self::NotBuilt(feature)),
            false => Ok(()),
        }
    }
}

/// Listeners, and the certificate that is shown there.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) listeners: Vec<Listener>,
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) tls: Option<Arc<Acceptor>>,
    /// Errors of `accept`, except those that concern one peer.
    pub(crate) errors: Counter,
}

impl Listening {
    /// Reads or makes the certificate, if there is to be one, and listens on every address.
    ///
    /// # Errors
    /// When the certificate cannot be had, or an address cannot be listened on. Then no address is.
    pub(crate) async fn on(
        addresses: &[Address],
        certificate: Option<&CertificateSource>,
    ) -> Result<Self, StartError> {
        let tls = match certificate {
            Some(source) => Some(Arc::new(acceptor(source, addresses).await?)),
            None => None,
        };
        Self::bind(addresses, tls, Counter::default()).await
    }

    /// Listens on more addresses, with the same certificate and the same count of errors.
    pub(crate) async fn also_on(&self, addresses: &[Address]) -> Result<Self, StartError> {
        Self::bind(addresses, self.tls.clone(), self.errors.clone()).await
    }

    async fn bind(
        addresses: &[Address],
        tls: Option<Arc<Acceptor>>,
        errors: Counter,
    ) -> Result<Self, StartError> {
        let mut listeners = Vec::with_capacity(addresses.len());
        for address in addresses {
            let listener = Listener::bind(address, errors.clone());
            listeners.push(log_if_slow(format_args!("the address {address}"), listener).await?);
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
            errors,
        })
    }
}

/// Reads or makes the certificate on a blocking thread, because reading files may take long.
async fn acceptor(
    source: &CertificateSource,
    addresses: &[Address],
) -> Result<Acceptor, StartError> {
    let (files, source, addresses) = (source.to_string(), source.clone(), addresses.to_vec());
    let loading = spawn_blocking(move || Acceptor::new(source, &addresses));
    let loaded = log_if_slow(files, loading).await;
    Ok(loaded.map_err(TlsError::from)??)
}

/// Waits for a part of the start, and logs it if it takes long.
pub(crate) async fn log_if_slow<T>(what: impl Display, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    match timeout(LONG, &mut work).await {
        Ok(done) => done,
        Err(_late) => {
            warn!("still waiting for {what}");
            work.await
        }
    }
}

/// Times of a drain.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DrainPlan {
    /// Time that sessions have to end.
    pub(crate) limit: Duration,
    /// The longest part of `limit` over which the closes are spread: few sessions need less.
    pub(crate) window: Duration,
}

/// The accept loop, and the tasks of the connections that it accepted.
pub(crate) struct Connections<S> {
    listeners: Vec<Listener>,
    service: Arc<S>,
    signal: Shutdown,
    opening: Arc<Semaphore>,
    tasks: Tasks,
}

impl<S: Service> Connections<S> {
    pub(crate) fn new(listeners: Vec<Listener>, service: S) -> Self {
        Self {
            listeners,
            service: Arc::new(service),
            signal: Shutdown::new(),
            opening: Arc::new(Semaphore::new(MAX_OPENING)),
            tasks: Tasks::default(),
        }
    }

    /// A connection's side of the signal of the drain.
    pub(crate) fn drain(&self) -> Drain {
        self.signal.subscribe()
    }

    /// Serves until `shutdown` is ready. Then it drains until the service has nothing under way, or
    /// the time is up.
    pub(crate) async fn serve(mut self, shutdown: impl Future<Output = ()>, drain: DrainPlan) {
        let service = Arc::clone(&self.service);
        let sessions = || service.under_way();
        tokio::select! {
            () = shutdown => {}
            () = self.accept() => {}
        }
        // Connections wait there for the next process, and need not be refused by this one.
        self.listeners.retain(|listener| !listener.is_passed());
        let open = sessions();
        info!(sessions = open, "draining");
        self.signal.begin(drain.window, open);
        let tasks = self.tasks.count();
        let sessions_end = async {
            tokio::select! {
                () = tasks.ends_until(|| sessions() == 0) => {}
                () = self.accept() => {}
            }
        };
        if timeout(drain.limit, sessions_end).await.is_err() {
            warn!(
                sessions = sessions(),
                "dropping sessions that did not end in time"
            );
        }
        self.finish().await;
    }

    /// Accepts connections for ever.
    async fn accept(&mut self) {
        loop {
            let (stream, peer, opening) = accept(&mut self.listeners, &self.opening).await;
            let drain = self.drain();
            let service = Arc::clone(&self.service);
            self.tasks
                .spawn(service::serve(service, stream, peer, opening, drain));
        }
    }

    /// Ends all tasks. Those that answer a plain HTTP request get a moment to do so.
    async fn finish(self) {
        let rest = self.tasks.count();
        // No more tasks are added from here on.
        if timeout(LAST_ANSWERS, rest.reaches_zero()).await.is_err() {
            self.tasks.shutdown().await;
        }
    }
}

/// Waits for a permit to open a connection, and then for a connection on any of the listeners.
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
