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
use crate::results::{self, Latencies};
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
    watch.count_anew();
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
pub struct Watch {
    poll: Poll,
    events: Events,
    clients: Vec<Client>,
    heart_beats: u64,
    deviation: Latencies,
}

impl Watch {
    /// Opens so many connections.
    pub fn open(server: &Running, count: usize) -> Result<Self, Failure> {
        let poll = Poll::new()?;
        let mut clients = Vec::with_capacity(count);
        for number in 0..count {
            let stream = client::connect(server.address, server.wire)?;
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            let registry = poll.registry();
            registry.register(&mut stream, Token(number), Interest::READABLE)?;
            clients.push(Client {
                stream,
                frame: SmallFrame::default(),
                first: None,
                beats: 0,
            });
        }
        Ok(Self {
            poll,
            events: Events::with_capacity(1024),
            clients,
            heart_beats: 0,
            deviation: results::latencies(),
        })
    }

    /// Reads what comes, and never sleeps: to wake another core costs the server as much as the rest
    /// of a short write on a virtual machine, and how often it would have to depends on chance.
    pub fn run_for(&mut self, time: Duration) -> Result<(), Failure> {
        let deadline = Instant::now() + time;
        while Instant::now() < deadline {
            match self.poll.poll(&mut self.events, Some(Duration::ZERO)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            let now = Instant::now();
            for event in &self.events {
                let client = &mut self.clients[event.token().0];
                for _ in 0..client.read()? {
                    self.heart_beats += 1;
                    if let Some(deviation) = client.beat(now) {
                        self.deviation
                            .saturating_record(deviation.as_nanos() as u64);
                    }
                }
            }
        }
        Ok(())
    }

    /// Heart beats that came since they were counted anew.
    pub fn heart_beats(&self) -> u64 {
        self.heart_beats
    }

    /// Counts from here on. The next heart beat of each connection sets its rhythm.
    pub fn count_anew(&mut self) {
        self.heart_beats = 0;
        self.deviation.reset();
        for client in &mut self.clients {
            (client.first, client.beats) = (None, 0);
        }
    }

    /// A heart beat may be late by a little, so one of each connection's may be out of the window.
    pub fn expect_heart_beats(&self, periods: u32) -> Result<(), Failure> {
        let owed = self.clients.len() as u64 * u64::from(periods - 1);
        match self.heart_beats >= owed {
            true => Ok(()),
            false => Err(format!("{} heart beats of {owed} came", self.heart_beats).into()),
        }
    }

    /// Distances of the heart beats from the rhythm that the first of their connection set.
    pub fn into_deviation(self) -> Latencies {
        self.deviation
    }
}

struct Client {
    stream: TcpStream,
    frame: SmallFrame,
    /// Moment at which the first heart beat came.
    first: Option<Instant>,
    /// Heart beats after that.
    beats: u32,
}

impl Client {
    /// Notes a heart beat, and returns how far it is from the rhythm.
    fn beat(&mut self, now: Instant) -> Option<Duration> {
        let first = *self.first.get_or_insert(now);
        if first == now {
            return None;
        }
        self.beats += 1;
        let expected = first + PERIOD * self.beats;
        Some(match now.checked_duration_since(expected) {
            Some(late) => late,
            None => expected - now,
        })
    }

    /// Reads what has come, answers Pings, and returns the number of heart beats.
    fn read(&mut self) -> Result<u64, Failure> {
        let mut buffer = [0; 1024];
        let mut heart_beats = 0;
        loop {
            let read = match self.stream.read(&mut buffer) {
                Ok(0) => return Err("the server ends an idle connection".into()),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(heart_beats),
                Err(error) => return Err(error.into()),
            };
            for byte in &buffer[..read] {
                self.frame.push(*byte);
                match self.frame.take()? {
                    Some(Aside::HeartBeat) => heart_beats += 1,
                    Some(Aside::Ping(data)) => {
                        let pong = echobeat_frames::frame(PONG, &data);
                        self.stream.write_all(&pong)?;
                    }
                    Some(Aside::Close) => return Err("the server closes an idle connection".into()),
                    Some(Aside::Pong) | None => {}
                }
            }
        }
    }
}
