//! The probe in a build without the feature `probe`: it does not start.

use crate::config::{HealthConfig, ProbeConfig};

/// Error of a probe, which this build does not have.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// This build has no probe.
    #[error("this build has no probe: it is without the feature probe")]
    NotBuilt,
}

/// A probe, which this build does not have.
#[derive(Debug)]
pub enum Probe {}

impl Probe {
    /// Fails.
    ///
    /// # Errors
    /// Always, because there is no probe in this build.
    pub fn new(_: ProbeConfig) -> Result<Self, ProbeError> {
        Err(ProbeError::NotBuilt)
    }

    /// Makes all checks.
    pub async fn run(&self, _: &Report) {
        match *self {}
    }
}

/// Fails.
///
/// # Errors
/// Always, because there is no probe in this build.
pub async fn check_health(_: HealthConfig) -> Result<(), ProbeError> {
    Err(ProbeError::NotBuilt)
}

/// The report of a probe.
#[derive(Debug)]
pub struct Report(());

impl Report {
    /// An empty report.
    #[must_use]
    pub fn new(_: &ProbeConfig, _shows_progress: bool) -> Self {
        Self(())
    }

    /// Whether the report is good, which it never is.
    #[must_use]
    pub fn is_good(&self) -> bool {
        false
    }

    /// The report as a table.
    #[must_use]
    pub fn table(&self) -> String {
        String::new()
    }

    /// The report in JSON.
    #[must_use]
    pub fn json(&self) -> String {
        String::new()
    }
}
