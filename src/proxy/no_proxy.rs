//! The proxy in a build without the feature `proxy`: it does not start.

use std::sync::Arc;

use crate::config::ProxyConfig;
use crate::net::address::Endpoint;
use crate::serve::accept::StartError;
use crate::tls::Acceptor;

/// A reverse proxy, which this build does not have.
#[derive(Debug)]
pub enum Proxy {}

impl Proxy {
    /// Fails.
    ///
    /// # Errors
    /// Always, because there is no proxy in this build.
    pub async fn bind(_: ProxyConfig) -> Result<Self, StartError> {
        Err(StartError::NotBuilt("proxy"))
    }

    /// Addresses that the proxy listens on.
    #[must_use]
    pub fn endpoints(&self) -> &[Endpoint] {
        match *self {}
    }

    /// Addresses of the API's own that the proxy listens on.
    #[must_use]
    pub fn api_endpoints(&self) -> &[Endpoint] {
        match *self {}
    }

    /// The acceptor of TLS with clients.
    #[must_use]
    pub fn tls(&self) -> Option<Arc<Acceptor>> {
        match *self {}
    }

    /// Serves until `shutdown` is ready.
    pub async fn serve(self, _shutdown: impl Future<Output = ()>) {
        match self {}
    }
}
