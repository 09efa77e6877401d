//! All code that differs between operating systems, behind one interface: signals, the open-file
//! limit, private files, Unix domain sockets, and the begin and end of TCP connections.

#[cfg(feature = "cli")]
mod program;
#[cfg(feature = "cli")]
pub use program::{Hangups, Signal, Signals, raise_open_file_limit};

#[cfg(feature = "metrics")]
mod usage;
#[cfg(feature = "metrics")]
pub(crate) use usage::{Usage, usage};

#[cfg_attr(not(all(unix, feature = "cli")), path = "no_passed.rs")]
mod passed;
pub use passed::note_passed_sockets;
pub(crate) use passed::passed_socket;

mod watch;
pub(crate) use watch::Watch;

/// A listening socket that was passed to the program.
#[derive(Debug)]
pub(crate) enum PassedSocket {
    /// One of TCP.
    Tcp(tokio::net::TcpListener),
    /// A Unix domain socket, and its path; this is empty if it has none.
    Local(LocalListener, std::path::PathBuf),
}

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub use unix::open_file_limit;
#[cfg(unix)]
pub(crate) use unix::{
    LocalListener, LocalStream, connect_local, create_private, group_id, host_name, peek_local,
};

#[cfg(not(unix))]
mod non_unix;
#[cfg(not(unix))]
pub use non_unix::open_file_limit;
#[cfg(not(unix))]
pub(crate) use non_unix::{
    LocalListener, LocalStream, connect_local, create_private, group_id, host_name, peek_local,
};

#[cfg(target_os = "linux")]
mod linux;
#[cfg(all(feature = "jemalloc", target_os = "linux"))]
pub use linux::allocator;
#[cfg(target_os = "linux")]
pub(crate) use linux::{TcpAcceptor, linger_at_most, try_write_last};

#[cfg(not(target_os = "linux"))]
mod non_linux;
#[cfg(not(target_os = "linux"))]
pub(crate) use non_linux::{TcpAcceptor, linger_at_most, try_write_last};
