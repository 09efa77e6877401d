//! Heart beats: what they cost a server, and how regular they are.

use std::time::Duration;

use crate::Failure;
use crate::idle::{PERIOD, Watch};
use crate::process;
use crate::results::{self, Latencies};
use crate::servers::Running;

/// Sessions that get heart beats, in one case each.
pub const SESSIONS: [usize; 3] = [1_000, 8_000, 18_000];

/// Flags of an echobeat that sends no Pings. The others send none in this time, and a Ping with its
/// Pong takes more than a heart beat.
pub const NO_PINGS: &[&str] = &["--ping-interval", "off"];

/// Time within which each session has had its first heart beat, and more.
const FIRST: Duration = Duration::from_millis(3_500);

/// Cost of heart beats.
#[derive(Debug)]
pub struct Beats {
    pub server: String,
    pub sessions: usize,
    /// Heart beats that came.
    pub count: u64,
    /// CPU time of a heart beat in microseconds.
    pub cpu: Option<f64>,
    /// Distances of heart beats from the rhythm that the first of their session sets.
    pub deviation: Latencies,
}

/// Opens sessions, and watches them for so many heart beats. There are none from most servers.
pub fn measure(server: &Running, sessions: usize, periods: u32) -> Result<Option<Beats>, Failure> {
    let mut watch = Watch::open(server, sessions)?;
    watch.run_for(FIRST)?;
    if watch.heart_beats() == 0 {
        return Ok(None);
    }
    watch.count_anew();
    let before = process::cpu_time(server.pid);
    watch.run_for(PERIOD * periods)?;
    let cpu = results::between(before, process::cpu_time(server.pid));
    watch.expect_heart_beats(periods)?;
    let count = watch.heart_beats();
    Ok(Some(Beats {
        server: server.name.clone(),
        sessions,
        count,
        cpu: cpu.map(|cpu| cpu.as_secs_f64() * 1e6 / count as f64),
        deviation: watch.into_deviation(),
    }))
}
