//! Telemetry: log lines, metrics, and rejected connections, which are both logged and counted.

#[cfg_attr(not(feature = "metrics"), path = "no_api_metrics.rs")]
pub(crate) mod api;
pub(crate) mod cluster;
#[cfg(feature = "cli")]
pub mod logging;
#[cfg_attr(not(feature = "metrics"), path = "no_metrics.rs")]
pub(crate) mod metrics;
#[cfg(feature = "metrics")]
mod process;
pub(crate) mod rejects;
mod tally;

use std::sync::LazyLock;

use crate::runtime::counter::Counter;

/// Log lines that this process has dropped, since nobody read them in time.
static DROPPED_LINES: LazyLock<Counter> = LazyLock::new(Counter::default);
