//! Settings of a [`TestServer`].

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::{Error, TestServer};
use crate::config::{ApiConfig, ServerConfig};
use crate::echo::Server;
use crate::registry::follow::Cursor;

/// Time that everything has that is waited for, by default.
const DEADLINE: Duration = Duration::from_secs(5);

/// Settings of a [`TestServer`] that is to be started.
///
/// ```
/// use std::time::Duration;
///
/// use echobeat::{ServerConfig, TestServer};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = TestServer::builder()
///     .config(ServerConfig {
///         subprotocols: vec!["chat".parse()?],
///         ..ServerConfig::default()
///     })
///     .heartbeat(Some(Duration::from_millis(50)))
///     .deadline(Duration::from_secs(1))
///     .start()
///     .await?;
/// # drop(server);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Builder {
    config: ServerConfig,
    deadline: Duration,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            config: ServerConfig {
                heartbeat: None,
                ..ServerConfig::default()
            },
            deadline: DEADLINE,
        }
    }
}

impl Builder {
    /// Settings of the server, in place of all that were made before. Its
    /// [`listen`](ServerConfig::listen) is not used: the server listens on a free port of
    /// 127.0.0.1.
    #[must_use]
    pub fn config(mut self, config: ServerConfig) -> Self {
        self.config = config;
        self
    }

    /// Interval of the heart beat, a text message. By default there is none.
    #[must_use]
    pub fn heartbeat(mut self, interval: Option<Duration>) -> Self {
        self.config.heartbeat = interval;
        self
    }

    /// Time that everything has that is waited for: 5 seconds by default.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Starts the server in a task of this runtime.
    ///
    /// # Errors
    /// When no port can be listened on, or the server is to have a part that was not built.
    pub async fn start(self) -> Result<TestServer, Error> {
        let path = self.config.paths.first().map(ToString::to_string);
        let mut server = Server::bind(ServerConfig {
            listen: vec![crate::net::address::Address::local(0)],
            ..self.config
        })
        .await?;
        let registry = server.registry(limits());
        let endpoint = &server.endpoints()[0];
        let (url, address) = match endpoint.socket_addr() {
            Some(address) => (
                endpoint.websocket_url(path.as_deref().unwrap_or("/")),
                address,
            ),
            None => unreachable!("the address is one of TCP"),
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let mut running = JoinSet::new();
        running.spawn(server.serve(async { drop(stopped.await) }));
        Ok(TestServer {
            url,
            address,
            registry,
            returned: Cursor::default(),
            deadline: self.deadline,
            stop,
            running,
        })
    }
}

/// Limits of what is kept of the connections: beyond what a test sends.
fn limits() -> ApiConfig {
    ApiConfig {
        keep_closed: 10_000,
        keep_messages: 100_000,
        keep_bytes: 256 << 20,
        memory: 1 << 30,
        ..ApiConfig::default()
    }
}
