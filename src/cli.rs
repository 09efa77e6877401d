//! The command line: flags and environment variables, validated into a [`ServerConfig`] or a
//! [`ProxyConfig`].

mod proxy;
mod serve;
mod shared;
mod values;

use clap::{Parser, Subcommand};

use crate::config::{ProxyConfig, ServerConfig};
use crate::logging::LogArgs;
use serve::ServeArgs;
use shared::{LifetimeArgs, TransportArgs};

const EXAMPLES: &str = "\
Examples:
  echobeat                                   ws://127.0.0.1:8002/, for this machine alone
  echobeat 0.0.0.0:9000 --heartbeat off      all interfaces, echo alone
  echobeat --path /ws --subprotocol chat     one path, one subprotocol
  echobeat -l 127.0.0.1:0 -l unix:echo.sock  any free port, and a Unix socket
  echobeat proxy                             ws://127.0.0.1:8082/, for the one of the first line
  echobeat --tls-self-signed                 wss://127.0.0.1:8002/, with a certificate made now

Durations are written 500ms, 3s, 2m, and are from 1ms to 30days; sizes 64KiB, 16MiB. What may be
repeated may also be a list with commas. Flags override environment variables.";

/// A WebSocket server to test against: it echoes every message, and sends `heart beat` every 3 s.
#[derive(Debug, Clone, PartialEq, Eq, Parser)]
#[command(version, after_help = EXAMPLES, max_term_width = 100)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    serve: ServeArgs,

    #[command(flatten)]
    lifetime: LifetimeArgs,

    #[command(flatten)]
    transport: TransportArgs,

    /// What is logged, and how
    #[command(flatten)]
    log: LogArgs,
}

#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
enum Command {
    /// Stand in front of a WebSocket server, as a reverse proxy
    Proxy(Box<proxy::ProxyArgs>),
}

/// What to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// The echo server.
    Server(ServerConfig),
    /// The reverse proxy.
    Proxy(ProxyConfig),
}

impl Cli {
    /// The number of worker threads asked for.
    #[must_use]
    pub fn threads(&self) -> Option<usize> {
        match &self.command {
            Some(Command::Proxy(args)) => args.lifetime.threads,
            None => self.lifetime.threads,
        }
    }

    /// What is to be logged, and how.
    #[must_use]
    pub fn log(&self) -> &LogArgs {
        match &self.command {
            Some(Command::Proxy(args)) => &args.log,
            None => &self.log,
        }
    }

    /// The server or the proxy that the command line describes.
    ///
    /// # Errors
    /// When flags contradict one another.
    pub fn into_role(self) -> Result<Role, clap::Error> {
        match self.command {
            Some(Command::Proxy(args)) => args.into_config().map(Role::Proxy),
            None => {
                let config = self.serve.into_config(self.transport, &self.lifetime);
                Ok(Role::Server(config))
            }
        }
    }
}

#[cfg(test)]
mod tests;
