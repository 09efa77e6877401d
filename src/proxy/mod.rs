//! The reverse proxy: forwards requests to another server, and WebSockets through tunnels.
//!
//! ```text
//! client ── HTTP, upgrade ──▶ front ── the same, rewritten ──▶ upstream
//! client ◀───────── bytes as they come, in a tunnel ─────────▶ upstream
//! ```
//!
//! | room | purpose |
//! |---|---|
//! | [`front`] | one connection of a client, from accept to close |
//! | [`forward`] | one request to the upstream, and its answer |
//! | [`headers`] | what requests and responses become when they are forwarded |
//! | [`upstream`] | connecting, asking, and what may fail on it |
//! | [`tunnel`] | bytes both ways between two streams |

mod forward;
mod front;
mod headers;
mod tunnel;
mod upstream;

use std::sync::Arc;

use crate::accept::{self, Connections, DrainPlan};
use crate::address::{BindError, Endpoint};
use crate::config::ProxyConfig;
use crate::listen::Listener;
use front::ProxyService;

/// A reverse proxy that listens, and is ready to [serve](Self::serve).
#[derive(Debug)]
pub struct Proxy {
    listeners: Vec<Listener>,
    endpoints: Vec<Endpoint>,
    config: ProxyConfig,
}

impl Proxy {
    /// Listens on every address of `config`. Connections wait until the proxy
    /// [serves](Self::serve); that the upstream can be reached is not asked before.
    ///
    /// # Errors
    /// When an address cannot be listened on; then none is.
    pub async fn bind(config: ProxyConfig) -> Result<Self, BindError> {
        let listeners = accept::listen(&config.listen).await?;
        let endpoints = listeners.iter().map(|l| l.endpoint().clone()).collect();
        Ok(Self {
            listeners,
            endpoints,
            config,
        })
    }

    /// Where the proxy listens, with real ports, in the order of [`ProxyConfig::listen`].
    #[must_use]
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// Serves until `shutdown` is ready, and then drains: new requests are refused with 503, and
    /// what is under way has [`ProxyConfig::drain`] to end before it is cut.
    ///
    /// When this returns, nobody is served any more. Dropping it instead cuts all at once.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) {
        let limit = self.config.drain;
        let drain = DrainPlan {
            limit,
            window: limit,
        };
        let service = Arc::new(ProxyService::new(self.config));
        let handler =
            |stream, peer, opening, drain| Arc::clone(&service).serve(stream, peer, opening, drain);
        Connections::new(self.listeners, handler)
            .serve(shutdown, drain, || service.under_way())
            .await;
    }
}
