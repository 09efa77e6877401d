//! All code that differs between operating systems, behind one interface: signals, the open-file
//! limit, private files, Unix domain sockets, and the begin and end of TCP connections.

use std::time::Duration;

mod watch;
pub(crate) use watch::Watch;

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub use unix::{Hangups, Signals, open_file_limit, raise_open_file_limit};
#[cfg(unix)]
pub(crate) use unix::{
    LocalListener, LocalStream, connect_local, create_private, group_id, host_name, peek_local,
};

#[cfg(not(unix))]
mod non_unix;
#[cfg(not(unix))]
pub use non_unix::{Hangups, Signals, open_file_limit, raise_open_file_limit};
#[cfg(not(unix))]
pub(crate) use non_unix::{
    LocalListener, LocalStream, connect_local, create_private, group_id, host_name, peek_local,
};

#[cfg(target_os = "linux")]
mod linux;
#[cfg(all(feature = "jemalloc", target_os = "linux"))]
pub use linux::allocator;
#[cfg(target_os = "linux")]
pub(crate) use linux::{TcpAcceptor, linger_at_most, try_write_last, usage};

#[cfg(not(target_os = "linux"))]
mod non_linux;
#[cfg(not(target_os = "linux"))]
pub(crate) use non_linux::{TcpAcceptor, linger_at_most, try_write_last, usage};

/// Resources that a process uses.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    /// User and system time.
    pub(crate) cpu: Duration,
    pub(crate) resident_bytes: u64,
    pub(crate) open_files: usize,
}

/// A request to stop, as [`Signals::recv`] reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signal {
    /// Its usual name, such as `SIGINT`.
    pub name: &'static str,
    /// The exit code of a process that it ends at once, by the convention of shells: 128 plus the
    /// signal's number.
    pub exit_code: u8,
}

impl Signal {
    const INTERRUPT: Self = Self {
        name: "SIGINT",
        exit_code: 130,
    };
}
