//! Linux: the resources that this process uses, and the best ways to begin and end connections.

mod accept;
#[cfg(feature = "jemalloc")]
pub mod allocator;
mod ending;

use std::time::Duration;

use procfs::process::Process;

use super::Usage;
pub(crate) use accept::TcpAcceptor;
pub(crate) use ending::{linger_at_most, try_write_last};

/// Resources that this process uses, if `/proc` is there to say so.
pub(crate) fn usage() -> Option<Usage> {
    let process = Process::myself().ok()?;
    let stat = process.stat().ok()?;
    let ticks = stat.utime + stat.stime;
    let seconds = ticks as f64 / procfs::ticks_per_second() as f64;
    Some(Usage {
        cpu: Duration::from_secs_f64(seconds),
        resident_bytes: stat.rss * procfs::page_size(),
        open_files: process.fd_count().ok()?,
    })
}
