//! The command line: flags and environment variables, validated into a [`ServerConfig`], a
//! [`ProxyConfig`] or a [`ProbeConfig`].

mod cluster;
mod document;
mod environment;
mod help;
mod probe;
mod proxy;
mod serve;
mod shared;
mod values;
mod version;

use std::ffi::{OsStr, OsString};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::config::{
    HealthConfig, ProbeConfig, ProxyConfig, SPARE_FILES, ServerConfig, default_max_connections,
    default_max_tunnels,
};
use crate::platform;
use crate::telemetry::logging::LogArgs;
use environment::Sources;
pub use probe::Output;
use serve::ServeArgs;
use shared::{BalancerArgs, LifetimeArgs, TransportArgs};

/// A WebSocket server to test against.
///
/// It echoes every message, and sends `heart beat` every 3 seconds.
#[derive(Debug, Clone, PartialEq, Eq, Parser)]
#[command(version, long_version = version::long(), max_term_width = 100)]
#[command(after_help = help::MORE, after_long_help = help::of_the_server())]
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

    #[command(flatten)]
    balancers: BalancerArgs,

    /// Level and format of the log
    #[command(flatten)]
    log: LogArgs,

    #[arg(skip)]
    sources: Sources,
}

#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
enum Command {
    /// Examine a WebSocket, and what lies between here and there
    #[command(after_help = help::MORE_OF_THE_PROBE, after_long_help = help::of_the_probe())]
    Probe(Box<probe::ProbeArgs>),
    /// Stand in front of a WebSocket server, as a reverse proxy
    #[command(after_help = help::MORE_OF_THE_PROXY, after_long_help = help::of_the_proxy())]
    Proxy(Box<proxy::ProxyArgs>),

    /// Print completions of a shell
    Completions(document::CompletionsArgs),

    /// Print a manual page
    Man(document::ManArgs),
}

/// The program to run, with its settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// The echo server.
    Server(Box<ServerConfig>),
    /// The reverse proxy.
    Proxy(Box<ProxyConfig>),
    /// A probe, and the form of its report.
    Probe(ProbeConfig, Output),
    /// A health check.
    Health(HealthConfig),
    /// A text for stdout, after which the program ends.
    Document(Vec<u8>),
}

impl Cli {
    /// Reads the command line, which begins with the program's name, and the variables of the
    /// environment that `variable` looks up.
    ///
    /// # Errors
    /// When there is something wrong with them, or help is asked for.
    pub fn read(
        args: impl IntoIterator<Item = OsString>,
        variable: impl Fn(&OsStr) -> Option<OsString>,
    ) -> Result<Self, clap::Error> {
        let args: Vec<_> = args.into_iter().collect();
        let first = args.get(1).cloned();
        let read = environment::matches(Self::command(), args, variable);
        let (matches, sources) = read.map_err(|error| unknown_command(first).unwrap_or(error))?;
        let mut cli = Self::from_arg_matches(&matches)?;
        cli.sources = sources;
        Ok(cli)
    }

    /// The number of worker threads asked for.
    #[must_use]
    pub fn threads(&self) -> Option<usize> {
        match &self.command {
            Some(Command::Proxy(args)) => args.lifetime.threads,
            Some(Command::Probe(_) | Command::Completions(_) | Command::Man(_)) => Some(1),
            None => self.lifetime.threads,
        }
    }

    /// Settings of the log.
    #[must_use]
    pub fn log(&self) -> &LogArgs {
        match &self.command {
            Some(Command::Proxy(args)) => &args.log,
            // A probe logs nothing: it reports.
            Some(Command::Probe(_) | Command::Completions(_) | Command::Man(_)) | None => &self.log,
        }
    }

    /// A warning if more connections are asked for than this process may have.
    #[must_use]
    pub fn shortage(&self) -> Option<String> {
        let (wanted, files, most) = match &self.command {
            Some(Command::Proxy(args)) => (args.max_connections?, 2, default_max_tunnels()),
            Some(Command::Probe(_) | Command::Completions(_) | Command::Man(_)) => return None,
            None => (self.serve.max_connections?, 1, default_max_connections()),
        };
        let name = self.sources.name("max_connections", "--max-connections");
        let limit = platform::open_file_limit();
        let needed = wanted * files + SPARE_FILES;
        (wanted > most).then(|| {
            format!(
                "{name} {wanted} needs up to {needed} open files, and the limit is {limit}: beyond \
                 {most}, connections may have to wait. Raise the limit with ulimit -n or \
                 LimitNOFILE="
            )
        })
    }

    /// The server, the proxy, the probe or the document that the command line describes.
    ///
    /// # Errors
    /// When flags contradict one another, or there is no such document.
    pub fn into_role(self) -> Result<Role, clap::Error> {
        match self.command {
            Some(Command::Proxy(args)) => {
                let config = args.into_config(&self.sources);
                config.map(|config| Role::Proxy(Box::new(config)))
            }
            Some(Command::Probe(args)) => args.into_role(),
            Some(Command::Completions(args)) => Ok(Role::Document(args.script())),
            Some(Command::Man(args)) => args.page().map(Role::Document),
            None => {
                let (transport, balancers) = (self.transport, self.balancers);
                let config =
                    self.serve
                        .into_config(transport, balancers, &self.lifetime, &self.sources);
                config.map(|config| Role::Server(Box::new(config)))
            }
        }
    }
}

/// The error for a first argument that resembles a command: clap takes it for an address.
fn unknown_command(first: Option<OsString>) -> Option<clap::Error> {
    let word = first?.into_string().ok()?;
    let mut command = Cli::command();
    let is_word = word.chars().all(char::is_alphabetic);
    if !is_word || command.find_subcommand(&word).is_some() {
        return None;
    }
    // clap suggests a similar command only where it expects nothing but commands.
    let commands = clap::Command::new("echobeat").subcommands(command.get_subcommands().cloned());
    let lower = word.to_lowercase();
    let similar = match commands.try_get_matches_from(["echobeat", &lower]) {
        Err(error) => match error.get(ContextKind::SuggestedSubcommand)? {
            // The most similar one comes last.
            ContextValue::Strings(similar) => similar.last()?.clone(),
            _ => return None,
        },
        Ok(_) => lower,
    };
    let complaint = format!("unknown command '{word}': did you mean '{similar}'?");
    Some(command.error(ErrorKind::InvalidSubcommand, complaint))
}

#[cfg(test)]
mod tests;
