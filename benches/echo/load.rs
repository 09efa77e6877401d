//! The generator: one thread, which keeps so many messages on their way on so many connections.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net;
use std::ops::Range;
use std::time::{Duration, Instant};

use echobeat_frames::close_frame;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::Failure;
use crate::args::Timing;
use crate::cases::Load;
use crate::client::PATIENCE;
use crate::process;
use crate::results::{self, Latencies, Sample};
use crate::servers::Running;

/// One buffer is read into for all connections: so the generator's reads are few.
const READ_BUFFER: usize = 256 << 10;

/// Messages that are sent one after another, and then from the start again.
pub trait Messages {
    /// Echoes that have come back on a connection.
    type Echoes: Default;

    /// Opens a connection to send them on.
    fn connect(&self, server: &Running) -> Result<net::TcpStream, Failure>;

    /// Bytes of `count` frames from that of this number on. There may be as many as are in flight.
    fn size(&self, first: usize, count: usize) -> usize;

    /// Bytes after which the frames begin again.
    fn turn(&self) -> usize;

    /// Frames, or pieces of them, that begin within a turn.
    fn frames(&self, range: Range<usize>) -> &[u8];

    /// Reads what came back, and returns the number of echoes that are now whole.
    fn read(&self, echoes: &mut Self::Echoes, bytes: &[u8]) -> Result<usize, Failure>;

    /// Whether the server is to be sent a Close in the end.
    fn says_goodbye(&self) -> bool;
}

/// Measures a server under load once.
pub fn round<M: Messages>(
    server: &Running,
    load: &Load,
    traffic: &M,
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

struct Generator<'t, M: Messages> {
    poll: Poll,
    events: Events,
    connections: Vec<Connection<'t, M>>,
    buffer: Vec<u8>,
    tally: Tally,
    never_sleeps: bool,
    /// Whether a new message goes out for each that comes back.
    refills: bool,
}

impl<'t, M: Messages> Generator<'t, M> {
    fn connect(server: &Running, load: &Load, traffic: &'t M) -> Result<Self, Failure> {
        let poll = Poll::new()?;
        let mut connections = Vec::with_capacity(load.connections);
        for number in 0..load.connections {
            let stream = traffic.connect(server)?;
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
            never_sleeps: load.never_sleeps,
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
        let timeout = match self.never_sleeps {
            true => Duration::ZERO,
            false => timeout,
        };
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

struct Connection<'t, M: Messages> {
    stream: TcpStream,
    traffic: &'t M,
    echoes: M::Echoes,
    /// When messages were sent that have not come back, and how many at a time.
    sent: VecDeque<(Instant, usize)>,
    /// Messages that were to be sent so far.
    messages: usize,
    /// Where the frames go on.
    next: usize,
    /// Bytes of frames that wait until the socket takes them.
    unsent: usize,
}

impl<'t, M: Messages> Connection<'t, M> {
    fn new(stream: TcpStream, traffic: &'t M) -> Self {
        Self {
            stream,
            traffic,
            echoes: M::Echoes::default(),
            sent: VecDeque::new(),
            messages: 0,
            next: 0,
            unsent: 0,
        }
    }

    fn in_flight(&self) -> usize {
        self.sent.iter().map(|(_, messages)| messages).sum()
    }

    fn send(&mut self, messages: usize, now: Instant) -> io::Result<()> {
        self.sent.push_back((now, messages));
        self.unsent += self.traffic.size(self.messages, messages);
        self.messages += messages;
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
            let whole = self.traffic.read(&mut self.echoes, &buffer[..read])?;
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
        if self.traffic.says_goodbye() {
            let _ = self.stream.write(&close_frame(1000, b""));
        }
    }
}
