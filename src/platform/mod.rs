//! All code that differs between operating systems, behind one face: signals, the open-file
//! limit, private files, and Unix domain sockets.

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub use unix::{Hangups, Signals, open_file_limit, raise_open_file_limit};
#[cfg(unix)]
pub(crate) use unix::{LocalListener, LocalStream, connect_local, create_private};

#[cfg(not(unix))]
mod other;
#[cfg(not(unix))]
pub use other::{Hangups, Signals, open_file_limit, raise_open_file_limit};
#[cfg(not(unix))]
pub(crate) use other::{LocalListener, LocalStream, connect_local, create_private};

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
