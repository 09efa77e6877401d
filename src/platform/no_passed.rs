//! Builds, and systems, to which no socket is passed.

use std::io::{self, ErrorKind};

use super::PassedSocket;

/// Does nothing.
pub fn note_passed_sockets() {}

/// Fails.
pub(crate) fn passed_socket(_descriptor: u32) -> io::Result<PassedSocket> {
    Err(io::Error::new(
        ErrorKind::Unsupported,
        "only the program takes sockets from systemd, and only on Unix",
    ))
}
