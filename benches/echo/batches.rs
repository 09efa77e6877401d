//! Batches: connections that come together, and end together.
//!
//! With [`opening`](crate::opening) a server has one connection to wait for at almost any time, and
//! answers it at once. Here it accepts while others connect, and has the Closes of a whole batch
//! before it.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Instant;

use crate::Failure;
use crate::client::{self, REQUEST};
use crate::opening::{SETTLE, echoed, goodbye};
use crate::process;
use crate::results::{self, Sample};
use crate::servers::Running;
use crate::traffic::Wire;

/// Connections in a batch.
pub const SIZE: usize = 50;

/// Opens and closes at least so many connections, a batch at a time.
pub fn round(server: &Running, connections: usize) -> Result<Sample, Failure> {
    let begun = Instant::now();
    let before = process::cpu_time(server.pid);
    let mut latency = results::latencies();
    for _ in 0..connections.div_ceil(SIZE) {
        let begun = Instant::now();
        batch(server)?;
        let each = begun.elapsed() / SIZE as u32;
        latency.saturating_record_n(each.as_nanos() as u64, SIZE as u64);
    }
    let elapsed = begun.elapsed();
    thread::sleep(SETTLE);
    Ok(Sample {
        count: latency.len(),
        elapsed,
        cpu: results::between(before, process::cpu_time(server.pid)),
        resident: process::resident(server.pid),
        latency,
    })
}

/// Connects all of a batch, upgrades one after another, says Close to all, and reads all to their
/// ends.
fn batch(server: &Running) -> Result<(), Failure> {
    let connect = |_| client::connect(server.address, Wire::Tcp);
    let mut streams = (0..SIZE).map(connect).collect::<Result<Vec<_>, _>>()?;
    for stream in &mut streams {
        match server.wire {
            Wire::WebSocket | Wire::Upgraded => client::upgrade(stream)?,
            // It gets and sends as much as for an upgrade.
            Wire::Tcp => echoed(stream, REQUEST)?,
        }
    }
    for stream in &mut streams {
        stream.write_all(&goodbye())?;
        if server.wire != Wire::WebSocket {
            // A server that only sends back what it gets does not know a Close.
            stream.shutdown(Shutdown::Write)?;
        }
    }
    streams.iter_mut().try_for_each(read_to_end)
}

/// Reads the answer to Close, and the end of the stream.
fn read_to_end(stream: &mut TcpStream) -> Result<(), Failure> {
    let mut answer = [0; 64];
    let mut length = 0;
    loop {
        match stream.read(&mut answer)? {
            0 if length == 0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            0 => return Ok(()),
            read => length += read,
        }
    }
}
