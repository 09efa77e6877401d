//! What was measured, with medians and ratios of the rounds.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::cases::Load;
use crate::servers::{Role, Running};

/// One round of one server.
#[derive(Debug)]
pub struct Sample {
    /// Messages, or whatever else was done.
    pub count: u64,
    pub elapsed: Duration,
    /// CPU time of the server, where the system tells it.
    pub cpu: Option<Duration>,
    /// Resident memory of the server, where the system tells it.
    pub resident: Option<u64>,
    pub latency: Latencies,
}

/// Latencies in nanoseconds.
pub type Latencies = Histogram<u64>;

/// No latencies yet.
pub fn latencies() -> Latencies {
    /// Longer ones count as this one.
    const LONGEST: Duration = Duration::from_secs(60);
    let longest = LONGEST.as_nanos() as u64;
    Histogram::new_with_max(longest, 2).expect("the bounds are sound")
}

/// The time between two times, where both are known.
pub fn between(before: Option<Duration>, after: Option<Duration>) -> Option<Duration> {
    Some(after?.saturating_sub(before?))
}

impl Sample {
    fn cpu_micros(&self) -> Option<f64> {
        Some(self.cpu?.as_secs_f64() * 1e6 / self.count as f64)
    }
}

/// All rounds of one server in one case.
#[derive(Debug)]
pub struct Row {
    pub server: String,
    pub role: Role,
    samples: Vec<Sample>,
}

/// All rounds of one case.
#[derive(Debug)]
pub struct CaseResults {
    pub name: String,
    /// What was sent, if it was messages.
    pub load: Option<Load>,
    pub rows: Vec<Row>,
}

impl CaseResults {
    pub fn new(name: &str, load: Option<&Load>, servers: &[Running]) -> Self {
        let row = |server: &Running| Row {
            server: server.name.clone(),
            role: server.role,
            samples: Vec::new(),
        };
        Self {
            name: name.to_owned(),
            load: load.cloned(),
            rows: servers.iter().map(row).collect(),
        }
    }

    pub fn add(&mut self, server: usize, sample: Sample) {
        self.rows[server].samples.push(sample);
    }

    /// CPU time of the server that was built with the benchmark.
    pub fn echobeat(&self) -> Option<f64> {
        self.lowest(Role::Echobeat)
    }

    pub fn floor(&self) -> Option<f64> {
        self.lowest(Role::Floor)
    }

    pub fn best_peer(&self) -> Option<f64> {
        self.lowest(Role::Peer)
    }

    fn lowest(&self, role: Role) -> Option<f64> {
        let rows = self.rows.iter().filter(|row| row.role == role);
        rows.filter_map(Row::cpu).min_by(f64::total_cmp)
    }
}

impl Row {
    /// CPU time of a message in microseconds.
    pub fn cpu(&self) -> Option<f64> {
        self.median(Sample::cpu_micros)
    }

    /// The least and the most that a round took.
    pub fn cpu_range(&self) -> Option<(f64, f64)> {
        let sorted = self.sorted(Sample::cpu_micros);
        Some((*sorted.first()?, *sorted.last()?))
    }

    pub fn per_second(&self) -> Option<f64> {
        self.median(|sample| Some(sample.count as f64 / sample.elapsed.as_secs_f64()))
    }

    /// Latency in microseconds.
    pub fn latency(&self, quantile: f64) -> Option<f64> {
        self.median(|sample| Some(sample.latency.value_at_quantile(quantile) as f64 / 1e3))
    }

    /// Resident memory in bytes.
    pub fn resident(&self) -> Option<f64> {
        self.median(|sample| sample.resident.map(|bytes| bytes as f64))
    }

    fn sorted(&self, measure: impl Fn(&Sample) -> Option<f64>) -> Vec<f64> {
        let mut values: Vec<f64> = self.samples.iter().filter_map(measure).collect();
        values.sort_by(f64::total_cmp);
        values
    }

    fn median(&self, measure: impl Fn(&Sample) -> Option<f64>) -> Option<f64> {
        let sorted = self.sorted(measure);
        let upper = sorted.get(sorted.len() / 2)?;
        Some((upper + sorted[(sorted.len() - 1) / 2]) / 2.0)
    }
}
