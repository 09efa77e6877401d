//! The echo server: bound by one call, served by the next.
//!
//! | room | purpose |
//! |---|---|
//! | [`connection`] | one connection from accept to close |
//! | [`routes`] | the answer to every request |
//! | [`page`] | the page at `/`, and what browsers are told of it |
//! | [`verdict`] | the answer that an upgrade would get, for the page |
//! | [`request_info`] | what the server saw of a request |
//! | [`admission`] | the description of a connection for the registry, and its name there |
//! | [`pending`] | a session from the acceptance of its upgrade to the end of its stream |
//! | [`testing`] | a server for a test in Rust |
//! | [`faulty`] | the same for a session that misbehaves |

mod admission;
mod connection;
mod faulty;
#[cfg(feature = "cli")]
mod page;
mod pending;
mod request_info;
mod routes;
pub mod testing;
mod verdict;

use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::config::{ApiConfig, ApiSettings, ServerConfig};
use crate::net::address::Endpoint;
use crate::registry::Registry;
use crate::registry::cluster::Cluster;
use crate::runtime::shutdown::Drain;
use crate::runtime::timers::Timers;
use crate::serve::accept::{Connections, DrainPlan, Listening, StartError};
use crate::serve::api::Api;
use crate::serve::api::service::ApiService;
use crate::telemetry::metrics::Metrics;
use crate::tls::Acceptor;
use connection::EchoService;

/// An echobeat server that listens, and is ready to [serve](Self::serve).
///
/// Binding comes before serving: with port 0 a test learns the address before the server runs.
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
    listening: Listening,
    /// Addresses that are the API's own, if there are any.
    api: Option<Listening>,
    config: ServerConfig,
    /// The connections, if anybody is to see them.
    registry: Option<Registry>,
    /// The cluster of which it is a node.
    cluster: Option<Cluster>,
}

impl Server {
    /// Reads or makes the certificate, if there is to be one, and listens on every address of
    /// `config`. Connections wait until the server [serves](Self::serve).
    ///
    /// # Errors
    /// When the certificate cannot be had, or any address cannot be listened on; then none is.
    pub async fn bind(config: ServerConfig) -> Result<Self, StartError> {
        StartError::unless_built("http2", cfg!(feature = "http2"), config.h2c)?;
        StartError::unless_built("api", cfg!(feature = "api"), config.api.is_some())?;
        StartError::unless_built("nats", cfg!(feature = "nats"), config.cluster.is_some())?;
        let listening = Listening::on(&config.listen, config.tls.as_ref()).await?;
        let own = config.api.as_ref().map(|api| &api.listen);
        let api = match own.filter(|own| !own.is_empty()) {
            Some(own) => Some(listening.also_on(own).await?),
            None => None,
        };
        let cluster = match &config.cluster {
            Some(cluster) => Some(Cluster::connect(cluster).await.map_err(StartError::Nats)?),
            None => None,
        };
        Ok(Self {
            listening,
            api,
            cluster,
            registry: config.api.clone().map(Registry::new),
            config,
        })
    }

    /// Addresses that the server listens on, with real ports, in the order of
    /// [`ServerConfig::listen`].
    #[must_use]
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.listening.endpoints
    }

    /// Addresses of the API's own that the server listens on, with real ports, in the order of
    /// [`ApiConfig::listen`](crate::ApiConfig::listen).
    #[must_use]
    pub fn api_endpoints(&self) -> &[Endpoint] {
        self.api.as_ref().map_or(&[], |api| &api.endpoints)
    }

    /// The acceptor of TLS, if this server speaks it: with it the certificate can be replaced.
    #[must_use]
    pub fn tls(&self) -> Option<Arc<Acceptor>> {
        self.listening.tls.clone()
    }

    /// The registry of the connections, which are kept from now on even if there is no API.
    pub(crate) fn registry(&mut self, limits: ApiConfig) -> Registry {
        let registry = self.registry.get_or_insert_with(|| Registry::new(limits));
        registry.clone()
    }

    /// Serves until `shutdown` is ready, and then drains: sessions are closed with 1001, a thousand
    /// a second or all in the first half of [`ServerConfig::drain`]; new ones are refused with 503;
    /// sessions that are left when the time is up are dropped.
    ///
    /// When this returns, no task of the server is left, and no address is listened on. Dropping
    /// the future instead aborts all tasks.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) {
        let limit = self.config.drain;
        let window = limit / 2;
        let Listening {
            listeners,
            tls,
            errors,
            ..
        } = self.listening;
        let metrics = Metrics::new(errors);
        let timers = Timers::default();
        let config = Arc::new(self.config);
        let registry = self.registry;
        let cluster = self.cluster;
        let settings = ApiSettings::of_server(&config);
        let api = registry.clone().zip(settings);
        let api = api.map(|(registry, settings)| Api::new(registry, cluster.clone(), settings));
        let own = api.clone().zip(self.api);
        // Aborted when it is dropped.
        let mut background = JoinSet::new();
        if let (Some(cluster), Some(api)) = (&cluster, &api) {
            background.spawn(Arc::clone(api).join(cluster.clone()));
        }
        let shared = cluster.clone();
        let service = EchoService::new(config, tls, timers.clone(), metrics, registry, shared, api);
        let connections = Connections::new(listeners, service);
        let drain = connections.drain();
        background.spawn(say_when_leaving(cluster.clone(), drain.clone()));
        let plan = DrainPlan { limit, window };
        background.spawn(async move { match timers.run(drain).await {} });
        match own {
            None => connections.serve(shutdown, plan).await,
            Some((api, listening)) => {
                // The API is there until the last session has ended.
                let (over, is_over) = oneshot::channel::<()>();
                let sessions = async {
                    connections.serve(shutdown, plan).await;
                    drop(over);
                };
                let service = ApiService::new(api, listening.tls);
                let requests = Connections::new(listening.listeners, service);
                let requests = requests.serve(async { drop(is_over.await) }, plan);
                tokio::join!(sessions, requests);
            }
        }
        if let Some(cluster) = &cluster {
            cluster.leave().await;
        }
        background.shutdown().await;
    }
}

/// Tells the other nodes, if there are any, as soon as the drain begins.
async fn say_when_leaving(cluster: Option<Cluster>, drain: Drain) {
    if let Some(cluster) = cluster {
        drain.begun().await;
        cluster.begin_to_leave().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::CertificateSource;

    #[tokio::test]
    async fn a_server_with_a_part_that_was_not_built_says_so_and_does_not_start() {
        let config = || ServerConfig {
            listen: vec!["127.0.0.1:0".parse().unwrap()],
            ..ServerConfig::default()
        };
        let (mut h2c, mut api, mut tls) = (config(), config(), config());
        h2c.h2c = true;
        api.api = Some(ApiConfig::default());
        tls.tls = Some(CertificateSource::SelfSigned { directory: None });
        for (name, config, is_built) in [
            ("http2", h2c, cfg!(feature = "http2")),
            ("api", api, cfg!(feature = "api")),
            ("tls", tls, cfg!(feature = "tls")),
        ] {
            match Server::bind(config).await {
                Ok(_) => assert!(is_built, "{name}"),
                Err(error) => {
                    let sentence = error.to_string();
                    assert!(!is_built && sentence.ends_with(&format!("the feature {name}")));
                }
            }
        }
    }
}
