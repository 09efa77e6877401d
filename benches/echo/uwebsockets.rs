//! uWebSockets, the peer in C++, which `build.rs` builds where the feature asks for it.

use std::process::Command;

use crate::Failure;
use crate::bridge::{self, Link};
use crate::servers::{self, Started};

/// The programs: plain, with OpenSSL, and with zlib.
const PROGRAM: Option<&str> = option_env!("UWEBSOCKETS");
const TLS_PROGRAM: Option<&str> = option_env!("UWEBSOCKETS_TLS");
const DEFLATE_PROGRAM: Option<&str> = option_env!("UWEBSOCKETS_DEFLATE");

/// Error of a start that is asked for without the feature.
const NOT_BUILT: &str = "it takes --features uwebsockets";

/// Whether it can be started.
pub fn is_built() -> bool {
    PROGRAM.is_some()
}

/// Starts it. It has one thread.
pub fn start(link: Link) -> Result<Started, Failure> {
    let program = match link {
        Link::Plain => PROGRAM,
        _ => TLS_PROGRAM,
    };
    let mut command = Command::new(program.ok_or(NOT_BUILT)?);
    if link != Link::Plain {
        command.args(bridge::certificate());
    }
    servers::start_program(command)
}

/// Starts it to compress what it sends, with the compressor of all connections, or with one of 32 KiB
/// for each, whose window is of 12 bits.
pub fn start_compressing(takeover: bool) -> Result<Started, Failure> {
    let mut command = Command::new(DEFLATE_PROGRAM.ok_or(NOT_BUILT)?);
    command.arg(if takeover { "dedicated" } else { "shared" });
    servers::start_program(command)
}
