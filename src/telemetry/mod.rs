//! Telemetry: log lines, metrics, and the mistakes of peers that are both logged and counted.

pub mod logging;
pub(crate) mod metrics;
mod process;
pub(crate) mod rejects;
