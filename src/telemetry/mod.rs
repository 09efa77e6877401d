//! Telemetry: log lines, metrics, and rejected connections, which are both logged and counted.

pub(crate) mod api;
pub mod logging;
pub(crate) mod metrics;
mod process;
pub(crate) mod rejects;
