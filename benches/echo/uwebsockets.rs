//! uWebSockets, the peer in C++, which `build.rs` builds where the feature asks for it.

use std::process::Command;

use crate::Failure;
use crate::bridge::{self, Link};
use crate::servers::{self, Started};

/// The programs, without TLS and with OpenSSL.
const PROGRAM: Option<&str> = option_env!("UWEBSOCKETS");
const TLS_PROGRAM: Option<&str> = option_env!("UWEBSOCKETS_TLS");

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
    let mut command = Command::new(program.ok_or("it takes --features uwebsockets")?);
    if link != Link::Plain {
        command.args(bridge::certificate());
    }
    servers::start_program(command)
}
