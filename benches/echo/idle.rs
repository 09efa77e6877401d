//! Idle: many connections that say nothing, and are sent heart beats.

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use echobeat_frames::PONG;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::Failure;
use crate::client;
use crate::echoes::{Aside, SmallFrame};
use crate::process;
use crate::results;
use crate::servers::{Role, Running};
use crate::traffic::Wire;

/// How often echobeat sends a heart beat by default.
pub const PERIOD: Duration = Duration::from_secs(3);

/// Time that a server has to give back what it needed to open the connections.
const SETTLE: Duration = Duration::from_millis(500);

/// What idle connections cost.
#[derive(Debug)]
pub struct Idle {
    pub server: String,
    pub connections: usize,
    /// Resident memory of a connection in bytes.
    pub memory: Option<f64>,
    /// Heart beats that came.
    pub heart_beats: u64,
    /// CPU time of a heart beat in microseconds.
    pub cpu: Option<f64>,
}

/// Opens connections, and watches them for so many heart beats, if the server sends such.
pub fn measure(server: &Running, connections: usize, periods: u32) -> Result<Idle, Failure> {
    let empty = process::resident(server.pid);
    let mut watch = Watch::open(server, connections)?;
    watch.run_for(SETTLE)?;
    watch.heart_beats = 0;
    let before = process::cpu_time(server.pid);
    let is_echobeat = matches!(server.role, Role::Echobeat | Role::Other);
    if is_echobeat && server.wire == Wire::WebSocket {
        watch.run_for(PERIOD * periods)?;
        watch.expect_heart_beats(periods)?;
    }
    let cpu = results::between(before, process::cpu_time(server.pid));
    let grown = process::resident(server.pid).zip(empty);
    let per_beat = |cpu: Duration| cpu.as_secs_f64() * 1e6 / watch.heart_beats as f64;
    Ok(Idle {
        server: server.name.clone(),
        connections,
        memory: grown.map(|(full, empty)| (full as f64 - empty as f64) / connections as f64),
        heart_beats: watch.heart_beats,
        cpu: cpu.map(per_beat).filter(|cpu| cpu.is_finite()),
    })
}

/// As many connections of those wanted as the limit of open files allows.
pub fn allowed(wanted: usize) -> usize {
    /// What a process opens apart from the connections.
    const OTHER_FILES: usize = 128;
    wanted.min(open_files().saturating_sub(OTHER_FILES)).max(1)
}

#[cfg(unix)]
fn open_files() -> usize {
    // Servers inherit the limit, and need as many.
    let limit = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(1024);
    usize::try_from(limit).unwrap_or(usize::MAX)
}

#[cfg(not(unix))]
fn open_files() -> usize {
    usize::MAX
}

/// Connections that are only read from.
struct Watch {
    poll: Poll,
    events: Events,
    connections: Vec<(TcpStream, SmallFrame)>,
    heart_beats: u64,
}

impl Watch {
    fn open(server: &Running, count: usize) -> Result<Self, Failure> {
        let poll = Poll::new()?;
        let mut connections = Vec::with_capacity(count);
        for number in 0..count {
            let stream = client::connect(server.address, server.wire)?;
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            let registry = poll.registry();
            registry.register(&mut stream, Token(number), Interest::READABLE)?;
            connections.push((stream, SmallFrame::default()));
        }
        Ok(Self {
            poll,
            events: Events::with_capacity(1024),
            connections,
            heart_beats: 0,
        })
    }

    fn run_for(&mut self, time: Duration) -> Result<(), Failure> {
        let deadline = Instant::now() + time;
        while let Some(left) = deadline.checked_duration_since(Instant::now()) {
            match self.poll.poll(&mut self.events, Some(left)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            for event in &self.events {
                let (stream, frame) = &mut self.connections[event.token().0];
                self.heart_beats += read(stream, frame)?;
            }
        }
        Ok(())
    }

    /// A heart beat may be late by a little, so one of each connection's may be out of the window.
    fn expect_heart_beats(&self, periods: u32) -> Result<(), Failure> {
        let owed = self.connections.len() as u64 * u64::from(periods - 1);
        match self.heart_beats >= owed {
            true => Ok(()),
            false => Err(format!("{} heart beats of {owed} came", self.heart_beats).into()),
        }
    }
}

/// Reads what has come, answers Pings, and returns the number of heart beats.
fn read(stream: &mut TcpStream, frame: &mut SmallFrame) -> Result<u64, Failure> {
    let mut buffer = [0; 1024];
    let mut heart_beats = 0;
    loop {
        let read = match stream.read(&mut buffer) {
            Ok(0) => return Err("the server ends an idle connection".into()),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(heart_beats),
            Err(error) => return Err(error.into()),
        };
        for byte in &buffer[..read] {
            frame.push(*byte);
            match frame.take()? {
                Some(Aside::HeartBeat) => heart_beats += 1,
                Some(Aside::Ping(data)) => {
                    stream.write_all(&echobeat_frames::frame(PONG, &data))?
                }
                Some(Aside::Close) => return Err("the server closes an idle connection".into()),
                Some(Aside::Pong) | None => {}
            }
        }
    }
}
