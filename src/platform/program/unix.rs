//! Unix: SIGINT, SIGTERM and SIGHUP, and `RLIMIT_NOFILE`.

use std::io;

use tokio::signal::unix::{self, SignalKind};

use super::Signal;

/// The signals that ask the process to stop.
#[derive(Debug)]
pub struct Signals {
    interrupt: unix::Signal,
    terminate: unix::Signal,
}

impl Signals {
    /// Starts to listen for SIGINT and SIGTERM, which would end the process by default.
    ///
    /// # Errors
    /// When the operating system does not let the handlers be installed.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: unix::signal(SignalKind::interrupt())?,
            terminate: unix::signal(SignalKind::terminate())?,
        })
    }

    /// Waits for the next signal.
    pub async fn recv(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::INTERRUPT,
            _ = self.terminate.recv() => Signal { name: "SIGTERM", exit_code: 143 },
        }
    }
}

/// The signal that asks for files to be read anew: SIGHUP.
#[derive(Debug)]
pub struct Hangups(unix::Signal);

impl Hangups {
    /// Starts to listen for SIGHUP, which would end the process by default.
    ///
    /// # Errors
    /// When the operating system does not let the handler be installed.
    pub fn new() -> io::Result<Self> {
        Ok(Self(unix::signal(SignalKind::hangup())?))
    }

    /// Waits for the next signal.
    pub async fn recv(&mut self) {
        self.0.recv().await;
    }
}

/// Raises the soft limit of open files to the hard one: shells keep the soft limit low for the
/// sake of `select(2)`, which nothing here uses.
pub fn raise_open_file_limit() {
    // Best effort: with the limit as it was, the server works as well, for fewer connections.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
}
