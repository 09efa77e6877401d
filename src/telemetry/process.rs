//! Metrics of this process from the operating system, under the names that all Prometheus clients
//! use.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use crate::platform::{self, Usage};

/// Collector that asks the operating system at every exposition.
#[derive(Debug)]
struct Process;

/// Registers the metrics of the process, if the operating system has them.
pub(super) fn register(registry: &mut Registry) {
    if platform::usage().is_some() {
        registry.register_collector(Box::new(Process));
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(usage) = platform::usage() else {
            return Ok(());
        };
        let Usage {
            cpu,
            resident_bytes,
            open_files,
        } = usage;
        let cpu = ConstCounter::new(cpu.as_secs_f64());
        let help = "User and system CPU time";
        put(
            &mut encoder,
            "process_cpu",
            help,
            Some(&Unit::Seconds),
            &cpu,
        )?;
        let resident = ConstGauge::new(resident_bytes as i64);
        let help = "Resident memory";
        put(
            &mut encoder,
            "process_resident_memory",
            help,
            Some(&Unit::Bytes),
            &resident,
        )?;
        let open = ConstGauge::new(open_files as i64);
        put(
            &mut encoder,
            "process_open_fds",
            "Open file descriptors",
            None,
            &open,
        )?;
        let most = ConstGauge::new(platform::open_file_limit() as i64);
        put(
            &mut encoder,
            "process_max_fds",
            "Most open file descriptors",
            None,
            &most,
        )
    }
}

fn put(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    metric: &impl EncodeMetric,
) -> fmt::Result {
    let encoder = encoder.encode_descriptor(name, help, unit, metric.metric_type())?;
    metric.encode(encoder)
}
