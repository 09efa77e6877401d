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

    /// The CPU time of the echobeat that was built for this.
    pub fn echobeat(&self) -> Option<f64> {
        self.best(Role::Echobeat)?.cpu()
    }

    /// How many times the CPU time of the best server of a role the server takes.
    pub fn ratio(&self, row: &Row, role: Role) -> Option<f64> {
        row.relative_to(self.best(role)?)
    }

    /// The same for echobeat.
    pub fn echobeat_ratio(&self, role: Role) -> Option<f64> {
        self.ratio(self.best(Role::Echobeat)?, role)
    }

    /// The server of a role that takes the least CPU time.
    pub fn best(&self, role: Role) -> Option<&Row> {
        let rows = self.rows.iter().filter(|row| row.role == role);
        let measured = rows.filter_map(|row| Some((row, row.cpu()?)));
        let best = measured.min_by(|(_, a), (_, b)| a.total_cmp(b));
        best.map(|(row, _)| row)
    }
}

impl Row {
    /// CPU time of a message in microseconds.
    pub fn cpu(&self) -> Option<f64> {
        self.median(Sample::cpu_micros)
    }

    /// The least and the most that a round took.
    pub fn cpu_range(&self) -> Option<(f64, f64)> {
        let values = || self.samples.iter().filter_map(Sample::cpu_micros);
        Some((
            values().min_by(f64::total_cmp)?,
            values().max_by(f64::total_cmp)?,
        ))
    }

    /// How much of a core the server takes. If it is less than all of it, the load generator was
    /// the slower of the two.
    pub fn cores(&self) -> Option<f64> {
        self.median(|sample| Some(sample.cpu?.as_secs_f64() / sample.elapsed.as_secs_f64()))
    }

    /// CPU times by those of another server in the same rounds: what slowed a round down, slowed
    /// both of them down.
    fn relative_to(&self, other: &Self) -> Option<f64> {
        let rounds = self.samples.iter().zip(&other.samples);
        median(rounds.filter_map(|(own, other)| Some(own.cpu_micros()? / other.cpu_micros()?)))
    }

    /// How much more latency there was than without this server, in microseconds of each round.
    pub fn added_latency(&self, direct: &Self, quantile: f64) -> Option<f64> {
        let latency = |sample: &Sample| sample.latency.value_at_quantile(quantile) as f64 / 1e3;
        let rounds = self.samples.iter().zip(&direct.samples);
        median(rounds.map(|(own, direct)| latency(own) - latency(direct)))
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

    fn median(&self, measure: impl Fn(&Sample) -> Option<f64>) -> Option<f64> {
        median(self.samples.iter().filter_map(measure))
    }
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let upper = values.get(values.len() / 2)?;
    Some((upper + values[(values.len() - 1) / 2]) / 2.0)
}
