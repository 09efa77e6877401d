//! Systems other than Unix: Ctrl-C.

use std::future::pending;
use std::io;

use super::Signal;

/// The signals that ask the process to stop.
#[derive(Debug)]
pub struct Signals(());

impl Signals {
    /// Starts to listen for Ctrl-C.
    ///
    /// # Errors
    /// Never on this platform.
    pub fn new() -> io::Result<Self> {
        Ok(Self(()))
    }

    /// Waits for the next signal.
    pub async fn recv(&mut self) -> Signal {
        match tokio::signal::ctrl_c().await {
            Ok(()) => Signal::INTERRUPT,
            // Without a handler there is nothing to wait for: the system ends the process itself.
            Err(_) => pending().await,
        }
    }
}

/// The signal that asks for files to be read anew: this system has none.
#[derive(Debug)]
pub struct Hangups(());

impl Hangups {
    /// Does nothing.
    ///
    /// # Errors
    /// Never on this platform.
    pub fn new() -> io::Result<Self> {
        Ok(Self(()))
    }

    /// Waits for ever.
    pub async fn recv(&mut self) {
        pending().await
    }
}

/// Does nothing: there is no limit to raise.
pub fn raise_open_file_limit() {}
