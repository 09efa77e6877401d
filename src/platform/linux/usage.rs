//! The resources that this process uses.

use std::time::Duration;

use procfs::process::Process;

use crate::platform::Usage;

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
