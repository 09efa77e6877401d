//! All code that differs between operating systems, behind one interface: signals, the open-file
//! limit, private files, Unix domain sockets, and the begin and end of TCP connections.

use std::time::Duration;

#[cfg(feature = "cli")]
mod signals;
#[cfg(feature = "cli")]
pub use signals::{Hangups, Signal, Signals};

mod watch;
pub(crate) use watch::Watch;

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub use unix::open_file_limit;
#[cfg(all(unix, feature = "cli"))]
pub use unix::raise_open_file_limit;
#[cfg(unix)]
pub(crate) use unix::{
    LocalListener, LocalStream, connect_local, create_private, group_id, host_name, peek_local,
};

#[cfg(not(unix))]
mod non_unix;
#[cfg(not(unix))]
pub use non_unix::open_file_limit;
#[cfg(all(not(unix), feature = "cli"))]
pub use non_unix::raise_open_file_limit;
#[cfg(not(unix))]
pub(crate) use non_unix::{
    LocalListener, LocalStream, connect_local, create_private, group_id, host_name, peek_local,
};

#[cfg(target_os = "linux")]
mod linux;
#[cfg(all(feature = "jemalloc", target_os = "linux"))]
pub use linux::allocator;
#[cfg(all(feature = "metrics", target_os = "linux"))]
pub(crate) use linux::usage;
#[cfg(target_os = "linux")]
pub(crate) use linux::{TcpAcceptor, linger_at_most, try_write_last};

#[cfg(not(target_os = "linux"))]
mod non_linux;
#[cfg(all(feature = "metrics", not(target_os = "linux")))]
pub(crate) use non_linux::usage;
#[cfg(not(target_os = "linux"))]
pub(crate) use non_linux::{TcpAcceptor, linger_at_most, try_write_last};

/// Resources that a process uses.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    /// User and system time.
    pub(crate) cpu: Duration,
    pub(crate) resident_bytes: u64,
    pub(crate) open_files: usize,
}
