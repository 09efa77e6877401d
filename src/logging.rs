//! Log lines, to stderr.

use std::env;
use std::io::{self, IsTerminal};

use clap::{ArgAction, Args, ValueEnum};
use tracing::Level;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{ParseError, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(next_help_heading = "Logging")]
pub struct LogArgs {
    /// Format: pretty, compact, or json
    ///
    /// Log lines go to stderr: several for each event, one, or a JSON object.
    #[arg(
        long,
        hide_possible_values = true,
        env = "ECHOBEAT_LOG_FORMAT",
        default_value = "compact",
        value_name = "FORMAT"
    )]
    pub log_format: Format,

    /// Log more: -v for debug, -vv for trace
    ///
    /// Trace shows the start of every message.
    #[arg(short, long, env = "ECHOBEAT_VERBOSE", action = ArgAction::Count, conflicts_with = "quiet")]
    pub verbose: u8,

    /// Log less: -q warnings, -qq errors alone
    #[arg(short, long, env = "ECHOBEAT_QUIET", action = ArgAction::Count)]
    pub quiet: u8,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Several lines, for reading one at a time
    Pretty,
    /// One line
    Compact,
    /// One JSON object a line
    Json,
}

/// Whether a variable is there, and is not empty.
fn is_set(variable: &str) -> bool {
    env::var_os(variable).is_some_and(|value| !value.is_empty())
}

impl LogArgs {
    /// Sends the process's log lines to stderr from now on. `-v` and `-q` come before `RUST_LOG`,
    /// and that before the default, info.
    ///
    /// # Errors
    /// When `RUST_LOG` cannot be read.
    pub fn install(&self) -> Result<(), ParseError> {
        let level = match (self.verbose, self.quiet) {
            (0, 0) => None,
            (_, 1) => Some(Level::WARN),
            (0, _) => Some(Level::ERROR),
            (1, _) => Some(Level::DEBUG),
            _ => Some(Level::TRACE),
        };
        let filter = match (level, env::var("RUST_LOG")) {
            // The details are echobeat's own: libraries have theirs at RUST_LOG's word alone.
            (Some(level), _) => Targets::new()
                .with_default(level.min(Level::INFO))
                .with_target(env!("CARGO_CRATE_NAME"), level),
            (None, Ok(directives)) if !directives.is_empty() => directives.parse()?,
            (None, _) => Targets::new().with_default(Level::INFO),
        };
        let colours = io::stderr().is_terminal() && !is_set("NO_COLOR");
        let lines = fmt::layer()
            .with_writer(io::stderr)
            .with_ansi(colours)
            .with_target(false);
        let lines = match self.log_format {
            Format::Pretty => lines
                .pretty()
                .with_file(false)
                .with_line_number(false)
                .boxed(),
            Format::Compact => lines.compact().boxed(),
            Format::Json => lines
                .json()
                .flatten_event(true)
                .with_span_list(false)
                .boxed(),
        };
        tracing_subscriber::registry()
            .with(lines.with_filter(filter))
            .init();
        Ok(())
    }
}
