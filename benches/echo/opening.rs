//! Opening: connections that come, upgrade, and close again.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use echobeat_frames::{CLOSE, close_frame};

use crate::Failure;
use crate::client::{self, REQUEST};
use crate::process;
use crate::results::{self, Sample};
use crate::servers::Running;
use crate::traffic::Wire;

/// Connections at the same time.
const AT_ONCE: usize = 8;

/// Time that the server has to end its side of the last connections.
pub const SETTLE: Duration = Duration::from_millis(20);

/// Opens and closes so many connections, a few at a time.
pub fn round(server: &Running, connections: usize) -> Result<Sample, Failure> {
    let begun = Instant::now();
    let before = process::cpu_time(server.pid);
    let visits = thread::scope(|scope| {
        let each = connections.div_ceil(AT_ONCE);
        let visitors = [(); AT_ONCE].map(|()| scope.spawn(move || visits(server, each)));
        let visits = visitors.map(|visitor| visitor.join().expect("visits do not panic"));
        visits.into_iter().collect::<Result<Vec<_>, _>>()
    })?;
    let elapsed = begun.elapsed();
    thread::sleep(SETTLE);
    let after = process::cpu_time(server.pid);
    let mut latency = results::latencies();
    for visit in visits.iter().flatten() {
        latency.saturating_record(visit.as_nanos() as u64);
    }
    Ok(Sample {
        count: latency.len(),
        elapsed,
        cpu: results::between(before, after),
        resident: process::resident(server.pid),
        latency,
    })
}

/// How long visits take, one after another.
fn visits(server: &Running, count: usize) -> Result<Vec<Duration>, Failure> {
    let timed = |_| {
        let begun = Instant::now();
        visit(server).map(|()| begun.elapsed())
    };
    (0..count).map(timed).collect()
}

fn visit(server: &Running) -> Result<(), Failure> {
    let mut stream = client::connect(server.address, server.wire)?;
    match server.wire {
        Wire::WebSocket => say_goodbye(&mut stream),
        Wire::Upgraded => echoed(&mut stream, &goodbye()),
        // It gets and sends as much as for an upgrade.
        Wire::Tcp => echoed(&mut stream, REQUEST),
    }
}

/// Sends Close, and waits for the answer.
fn say_goodbye(stream: &mut TcpStream) -> Result<(), Failure> {
    stream.write_all(&goodbye())?;
    let mut close = [0; 4];
    stream.read_exact(&mut close)?;
    match close {
        [CLOSE, 2, 0x03, 0xe8] => Ok(()),
        other => Err(format!("Close is answered with {other:02x?}").into()),
    }
}

/// A Close.
pub fn goodbye() -> Vec<u8> {
    close_frame(1000, b"")
}

/// What a server that sends back what it gets has to do instead.
pub fn echoed(stream: &mut TcpStream, bytes: &[u8]) -> Result<(), Failure> {
    stream.write_all(bytes)?;
    let mut echo = vec![0; bytes.len()];
    stream.read_exact(&mut echo)?;
    match echo == bytes {
        true => Ok(()),
        false => Err("the echo differs from what was sent".into()),
    }
}
