//! Telemetry: log lines, metrics, and rejected connections, which are both logged and counted.

pub mod logging;
pub(crate) mod metrics;
mod process;
pub(crate) mod rejects;
