//! The generator: one thread, which keeps so many messages on their way on so many connections.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use echobeat_frames::close_frame;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::Failure;
use crate::args::Timing;
use crate::cases::Load;
use crate::client::{self, PATIENCE};
use crate::echoes::Echoes;
use crate::process;
use crate::results::{self, Latencies, Sample};
use crate::servers::Running;
use crate::traffic::{Traffic, Wire};

/// One buffer is read into for all connections: so the generator's reads are few.
const READ_BUFFER: usize = 256 << 10;

/// Measures a server under load once.
pub fn round(
    server: &Running,
    load: &Load,
    traffic: &Traffic,
    timing: &Timing,
) -> Result<Sample, Failure> {
    let mut generator = Generator::connect(server, load, traffic)?;
    generator.start(load.in_flight)?;
    generator.run_for(timing.warm_up)?;
    generator.tally = Tally::new();
    let begun = Instant::now();
    let before = process::cpu_time(server.pid);
    generator.run_for(timing.measured)?;
    let after = process::cpu_time(server.pid);
    let elapsed = begun.elapsed();
    let resident = process::resident(server.pid);
    let tally = std::mem::replace(&mut generator.tally, Tally::new());
    generator.drain()?;
    if tally.messages == 0 {
        return Err(format!("not one echo in {elapsed:?}").into());
    }
    Ok(Sample {
        count: tally.messages,
        elapsed,
        cpu: results::between(before, after),
        resident,
        latency: tally.latency,
    })
}

/// What is counted.
struct Tally {
    messages: u64,
    latency: Latencies,
}

impl Tally {
    fn new() -> Self {
        Self {
            messages: 0,
            latency: results::latencies(),
        }
    }
}

struct Generator<'t> {
    poll: Poll,
    events: Events,
    connections: Vec<Connection<'t>>,
    buffer: Vec<u8>,
    tally: Tally,
    /// Whether a new message goes out for each that comes back.
    refills: bool,
}

impl<'t> Generator<'t> {
    fn connect(server: &Running, load: &Load, traffic: &'t Traffic) -> Result<Self, Failure> {
        let poll = Poll::new()?;
        let mut connections = Vec::with_capacity(load.connections);
        for number in 0..load.connections {
            let stream = client::connect(server.address, server.wire)?;
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry()
                .register(&mut stream, Token(number), interest)?;
            connections.push(Connection::new(stream, traffic));
        }
        Ok(Self {
            poll,
            events: Events::with_capacity(load.connections),
            connections,
            buffer: vec![0; READ_BUFFER],
            tally: Tally::new(),
            refills: true,
        })
    }

    fn start(&mut self, in_flight: usize) -> io::Result<()> {
        let mut connections = self.connections.iter_mut();
        connections.try_for_each(|connection| connection.send(in_flight, Instant::now()))
    }

    fn run_for(&mut self, time: Duration) -> Result<(), Failure> {
        let deadline = Instant::now() + time;
        while let Some(left) = deadline.checked_duration_since(Instant::now()) {
            self.turn(left)?;
        }
        Ok(())
    }

    /// Waits for the echoes that are still on their way, and closes.
    fn drain(mut self) -> Result<(), Failure> {
        let deadline = Instant::now() + PATIENCE;
        self.refills = false;
        while self.in_flight() > 0 {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else {
                return Err(format!("{} echoes are missing", self.in_flight()).into());
            };
            self.turn(left)?;
        }
        for connection in &mut self.connections {
            connection.close();
        }
        Ok(())
    }

    fn in_flight(&self) -> usize {
        self.connections.iter().map(Connection::in_flight).sum()
    }

    fn turn(&mut self, timeout: Duration) -> Result<(), Failure> {
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            polled => polled?,
        }
        for event in &self.events {
            let connection = &mut self.connections[event.token().0];
            if event.is_writable() {
                connection.flush()?;
            }
            if event.is_readable() {
                connection.read(&mut self.buffer, &mut self.tally, self.refills)?;
            }
        }
        Ok(())
    }
}

struct Connection<'t> {
    stream: TcpStream,
    traffic: &'t Traffic,
    echoes: Echoes,
    /// When messages were sent that have not come back, and how many at a time.
    sent: VecDeque<(Instant, usize)>,
    /// Where the frames go on.
    next: usize,
    /// Bytes of frames that wait until the socket takes them.
    unsent: usize,
}

impl<'t> Connection<'t> {
    fn new(stream: TcpStream, traffic: &'t Traffic) -> Self {
        Self {
            stream,
            traffic,
            echoes: Echoes::default(),
            sent: VecDeque::new(),
            next: 0,
            unsent: 0,
        }
    }

    fn in_flight(&self) -> usize {
        self.sent.iter().map(|(_, messages)| messages).sum()
    }

    fn send(&mut self, messages: usize, now: Instant) -> io::Result<()> {
        self.sent.push_back((now, messages));
        self.unsent += messages * self.traffic.frame;
        self.flush()
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.unsent > 0 {
            let frames = self.traffic.frames(self.next..self.next + self.unsent);
            match self.stream.write(frames) {
                Ok(written) => {
                    self.next = (self.next + written) % self.traffic.turn();
                    self.unsent -= written;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads all there is, and sends as many messages as have come back in one write.
    fn read(&mut self, buffer: &mut [u8], tally: &mut Tally, refill: bool) -> Result<(), Failure> {
        loop {
            let read = match self.stream.read(buffer) {
                Ok(0) => return Err("the server ends the connection".into()),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            let whole = self.echoes.read(self.traffic, &buffer[..read])?;
            if whole > 0 {
                let now = Instant::now();
                self.record(whole, now, tally)?;
                if refill {
                    self.send(whole, now)?;
                }
            }
            // What a short read leaves behind has not come yet, and will be an event of its own.
            if read < buffer.len() {
                return Ok(());
            }
        }
    }

    fn record(&mut self, mut whole: usize, now: Instant, tally: &mut Tally) -> Result<(), Failure> {
        tally.messages += whole as u64;
        while whole > 0 {
            let (sent, messages) = self.sent.front_mut().ok_or("more echoes than messages")?;
            let these = whole.min(*messages);
            let latency = now.duration_since(*sent).as_nanos() as u64;
            tally.latency.saturating_record_n(latency, these as u64);
            whole -= these;
            *messages -= these;
            if *messages == 0 {
                self.sent.pop_front();
            }
        }
        Ok(())
    }

    /// Says goodbye, without waiting for the answer: nothing is measured any more.
    fn close(&mut self) {
        if self.traffic.wire == Wire::WebSocket {
            let _ = self.stream.write(&close_frame(1000, b""));
        }
    }
}
