//! Signals that a program takes, and its limit of open files.

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub use unix::{Hangups, Signals, raise_open_file_limit};

#[cfg(not(unix))]
mod non_unix;
#[cfg(not(unix))]
pub use non_unix::{Hangups, Signals, raise_open_file_limit};

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
