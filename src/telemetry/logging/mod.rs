//! Log lines to stderr. They pass through a queue, so that nothing waits for stderr but one thread.

mod queue;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::env;
use std::io::{self, IsTerminal};
use std::panic::{self, PanicHookInfo};
use std::thread;
use std::time::Duration;

use clap::{ArgAction, Args, ValueEnum};
use tracing::{Level, error};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{ParseError, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use queue::{Line, Queue};

/// Queue of this process's log lines.
static QUEUE: Queue = Queue::new();

/// Time limit for writing the last lines before the process ends.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Flags for logging.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(next_help_heading = "Logging")]
pub struct LogArgs {
    /// Format: pretty, compact, or json
    ///
    /// Log lines go to stderr. An event is several lines in pretty, one in compact, and one JSON
    /// object in json.
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

/// Format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Several lines, for reading one at a time
    Pretty,
    /// One line
    Compact,
    /// One JSON object a line
    Json,
}

/// Library whose connections are logged by the cluster itself.
const NATS: &str = "async_nats";

/// Whether an environment variable is set, and not empty.
fn is_set(variable: &str) -> bool {
    env::var_os(variable).is_some_and(|value| !value.is_empty())
}

impl LogArgs {
    /// Writes the process's log lines, panics among them, to stderr from now on. `-v` and `-q` have
    /// precedence over `RUST_LOG`, and that over the default, info.
    ///
    /// The process must [flush] them before it ends.
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
            // Debug and trace lines are of echobeat alone: those of libraries need RUST_LOG.
            (Some(level), _) => Targets::new()
                .with_default(level.min(Level::INFO))
                .with_target(env!("CARGO_CRATE_NAME"), level)
                .with_target(NATS, level.min(Level::WARN)),
            (None, Ok(directives)) if !directives.is_empty() => directives.parse()?,
            (None, _) => Targets::new()
                .with_default(Level::INFO)
                .with_target(NATS, Level::WARN),
        };
        let colours = io::stderr().is_terminal() && !is_set("NO_COLOR");
        let lines = fmt::layer()
            .with_writer(writer())
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
        panic::set_hook(Box::new(log_panic));
        Ok(())
    }
}

/// Writer into the queue, or to stderr itself if the queue's thread cannot be started.
fn writer() -> BoxMakeWriter {
    let thread = thread::Builder::new().name("log".to_owned());
    match thread.spawn(|| QUEUE.run(io::stderr())) {
        Ok(_) => BoxMakeWriter::new(|| Line(&QUEUE)),
        Err(_) => BoxMakeWriter::new(io::stderr),
    }
}

/// Logs a panic in place of the usual message, which would wait for stderr.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let payload = panic.payload();
    let cause = match payload.downcast_ref::<String>() {
        Some(cause) => Some(cause.as_str()),
        None => payload.downcast_ref::<&str>().copied(),
    };
    let place = panic.location().map(ToString::to_string);
    let trace = Backtrace::capture();
    let trace = (trace.status() == BacktraceStatus::Captured).then(|| trace.to_string());
    error!(place, cause, trace, "panic");
}

/// Waits until all lines are written, but at most a second, because stderr may have no reader.
pub fn flush() {
    QUEUE.flush(LAST_LINES);
}

/// Flushes the lines when it is dropped.
#[derive(Debug)]
pub struct FlushOnDrop;

impl Drop for FlushOnDrop {
    fn drop(&mut self) {
        flush();
    }
}
