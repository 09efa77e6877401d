//! Memory of sessions with context takeover, which have had messages and say nothing any more.

use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use super::Terms;
use super::messages::Compressed;
use crate::Failure;
use crate::cases;
use crate::load::Messages;
use crate::process;
use crate::servers::Running;

/// Sessions before those that count: so memory that is all sessions' is not counted.
const BEFORE: usize = 20;

/// Time that a server has to give back what it took for the last message.
const SETTLE: Duration = Duration::from_millis(500);

/// Memory of a session.
#[derive(Debug)]
pub struct Memory {
    pub server: String,
    /// Bits of both windows.
    pub bits: u8,
    pub sessions: usize,
    /// Anonymous memory of a session, in bytes.
    pub each: Option<f64>,
}

/// Opens sessions, has messages echoed that fill their windows, and looks what they keep.
pub fn measure(server: &Running, sessions: usize, bits: u8) -> Result<Memory, Failure> {
    let messages = Compressed::new(&cases::deflate_filling(), Terms::Takeover(bits));
    let _before = open(server, &messages, BEFORE)?;
    let empty = process::anonymous(server.pid);
    let _sessions = open(server, &messages, sessions)?;
    let full = process::anonymous(server.pid);
    let grown = full.zip(empty);
    Ok(Memory {
        server: server.name.clone(),
        bits,
        sessions,
        each: grown.map(|(full, empty)| (full as f64 - empty as f64) / sessions as f64),
    })
}

/// Sessions whose windows are full.
fn open(server: &Running, messages: &Compressed, count: usize) -> Result<Vec<TcpStream>, Failure> {
    let session = |_| {
        let mut stream = messages.connect(server)?;
        messages.exchange(&mut stream)?;
        Ok(stream)
    };
    let sessions = (0..count).map(session).collect::<Result<_, Failure>>()?;
    thread::sleep(SETTLE);
    Ok(sessions)
}
