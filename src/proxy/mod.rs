//! The reverse proxy: forwards requests to another server, and WebSockets through tunnels.
//!
//! ```text
//! client ── HTTP, upgrade ──▶ proxy ── the same, rewritten ──▶ upstream
//! client ◀───────── bytes as they come, in a tunnel ─────────▶ upstream
//! ```
//!
//! | room | purpose |
//! |---|---|
//! | [`service`] | one connection of a client, from accept to close |
//! | [`requests`] | its requests over HTTP/1.1 |
//! | [`client_context`] | their answers, in place of the upstream if need be, and the tunnels |
//! | [`write_timeout`] | a stream whose peer must take what it is sent |
//! | [`forward`] | one request to the upstream, and its answer |
//! | [`upgrade`] | an upgrade to the upstream, and its answer |
//! | [`faults`], [`extensions`] | faults of a tunnel, and compression under them |
//! | [`inspect`] | tunnels as the API shows them |
//! | [`headers`], [`hop`] | what requests and responses become when they are forwarded |
//! | [`framing`], [`upload`] | the length of bodies, and the progress of a request's body |
//! | [`interim`] | the interim responses of the upstream |
//! | [`client`] | plain requests, over connections that are used again |
//! | [`upstream`] | connecting, asking for an upgrade, and what may fail on it |
//! | [`websocket_names`] | names of headers as RFC 6455 writes them |
//! | [`tunnel`] | bytes both ways between two streams, or frames if it is to misbehave |

mod client;
mod client_context;
mod extensions;
mod faults;
mod forward;
mod framing;
mod headers;
mod hop;
mod inspect;
mod interim;
mod requests;
mod service;
mod tunnel;
mod upgrade;
mod upload;
mod upstream;
mod websocket_names;
mod write_timeout;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

use crate::config::{ApiSettings, ProxyConfig};
use crate::net::address::Endpoint;
use crate::serve::accept::{Connections, DrainPlan, Listening, StartError, log_if_slow};
use crate::serve::api::Api;
use crate::serve::api::service::ApiService;
use crate::tls::{Acceptor, TlsError};
use forward::Forwarder;
use service::ProxyService;

/// Time that tunnels have to end and to say so, once the drain is over.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// A reverse proxy that listens, and is ready to [serve](Self::serve).
#[derive(Debug)]
pub struct Proxy {
    listening: Listening,
    /// Addresses that are the API's own, if there are any.
    api: Option<Listening>,
    forwarder: Forwarder,
}

impl Proxy {
    /// Reads or makes the certificate, if there is to be one, reads those to trust, and listens on
    /// every address of `config`. Connections wait until the proxy [serves](Self::serve). The
    /// upstream is not contacted before that.
    ///
    /// # Errors
    /// When a certificate cannot be had, or any address cannot be listened on; then none is.
    pub async fn bind(config: ProxyConfig) -> Result<Self, StartError> {
        StartError::unless_built("http2", cfg!(feature = "http2"), config.h2c)?;
        StartError::unless_built("api", cfg!(feature = "api"), config.api.is_some())?;
        let listening = Listening::on(&config.listen, config.tls.as_ref()).await?;
        let own = config.api.as_ref().map(|api| &api.listen);
        let api = match own.filter(|own| !own.is_empty()) {
            Some(own) => Some(listening.also_on(own).await?),
            None => None,
        };
        // On a blocking thread, because reading files may take long.
        let making = spawn_blocking(|| Forwarder::new(config));
        let made = log_if_slow("the certificates of authorities", making).await;
        Ok(Self {
            listening,
            api,
            forwarder: made.map_err(TlsError::from)??,
        })
    }

    /// Addresses that the proxy listens on, with real ports, in the order of
    /// [`ProxyConfig::listen`].
    #[must_use]
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.listening.endpoints
    }

    /// Addresses of the API's own that the proxy listens on, with real ports, in the order of
    /// [`ApiConfig::listen`](crate::ApiConfig::listen).
    #[must_use]
    pub fn api_endpoints(&self) -> &[Endpoint] {
        self.api.as_ref().map_or(&[], |api| &api.endpoints)
    }

    /// The acceptor of TLS with clients, if this proxy speaks it: with it the certificate can be
    /// replaced.
    #[must_use]
    pub fn tls(&self) -> Option<Arc<Acceptor>> {
        self.listening.tls.clone()
    }

    /// Serves until `shutdown` is ready, and then drains: new requests are refused with 503, and
    /// those under way have [`ProxyConfig::drain`] to end before they are cut.
    ///
    /// When this returns, no client is served any more. Dropping the future instead cuts all at
    /// once.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) {
        let window = self.forwarder.config().drain;
        let drain = DrainPlan {
            limit: window + LAST_WORDS,
            window,
        };
        let Listening { listeners, tls, .. } = self.listening;
        let settings = ApiSettings::of_proxy(self.forwarder.config());
        let registry = self.forwarder.registry();
        let api = registry.zip(settings);
        let api = api.map(|(registry, settings)| Api::new(registry, None, settings));
        let own = api.clone().zip(self.api);
        let service = ProxyService::new(self.forwarder, tls, api);
        let connections = Connections::new(listeners, service);
        match own {
            None => connections.serve(shutdown, drain).await,
            Some((api, listening)) => {
                serve_beside(connections, shutdown, drain, api, listening).await
            }
        }
    }
}

/// Serves connections, and the API on addresses of its own until the last connection has ended.
async fn serve_beside(
    connections: Connections<ProxyService>,
    shutdown: impl Future<Output = ()>,
    drain: DrainPlan,
    api: Arc<Api>,
    listening: Listening,
) {
    let (over, is_over) = oneshot::channel::<()>();
    let tunnels = async {
        connections.serve(shutdown, drain).await;
        drop(over);
    };
    let service = ApiService::new(api, listening.tls);
    let requests = Connections::new(listening.listeners, service);
    let requests = requests.serve(async { drop(is_over.await) }, drain);
    tokio::join!(tunnels, requests);
}
