//! The resources that this process uses.

use std::time::Duration;

/// Resources that a process uses.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    /// User and system time.
    pub(crate) cpu: Duration,
    pub(crate) resident_bytes: u64,
    pub(crate) open_files: usize,
}

/// Resources that this process uses, if `/proc` is there to say so.
#[cfg(target_os = "linux")]
pub(crate) fn usage() -> Option<Usage> {
    let process = procfs::process::Process::myself().ok()?;
    let stat = process.stat().ok()?;
    let ticks = stat.utime + stat.stime;
    let seconds = ticks as f64 / procfs::ticks_per_second() as f64;
    Some(Usage {
        cpu: Duration::from_secs_f64(seconds),
        resident_bytes: stat.rss * procfs::page_size(),
        open_files: process.fd_count().ok()?,
    })
}

/// Resources that this process uses: unknown, because this system is not asked.
#[cfg(not(target_os = "linux"))]
pub(crate) fn usage() -> Option<Usage> {
    None
}
