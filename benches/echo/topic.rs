//! A topic of a server, or of several nodes: one connection posts to it, and many are subscribed.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::Failure;
use crate::client::{self, PATIENCE};
use crate::echoes::Echoes;
use crate::traffic::{Traffic, Wire};

/// The path that a session upgrades at to be subscribed.
const SUBSCRIBE: &str = "/topic?topic=bench";

/// The path that messages are posted to.
const POST: &str = "/topics/bench";

/// One buffer is read into for all connections.
const READ_BUFFER: usize = 64 << 10;

/// Subscribers of a topic, and who posts to it.
pub struct Topic<'t> {
    poll: Poll,
    events: Events,
    subscribers: Vec<Subscriber>,
    poster: Poster,
    traffic: &'t Traffic,
    buffer: Vec<u8>,
    /// Number of the posts so far.
    posted: usize,
    /// Subscribers that have not received the last one.
    missing: usize,
}

impl<'t> Topic<'t> {
    /// Subscribes so many clients, in turns at these addresses. Messages are posted at the first.
    pub fn open(
        addresses: &[SocketAddr],
        subscribers: usize,
        traffic: &'t Traffic,
    ) -> Result<Self, Failure> {
        let poll = Poll::new()?;
        let connected = |stream: std::net::TcpStream, number| -> io::Result<TcpStream> {
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            let interest = Interest::READABLE;
            poll.registry()
                .register(&mut stream, Token(number), interest)?;
            Ok(stream)
        };
        let subscribe = |number| -> Result<Subscriber, Failure> {
            let address = addresses[number % addresses.len()];
            let stream = client::connect_at(address, SUBSCRIBE)?;
            Ok(Subscriber {
                stream: connected(stream, number)?,
                received: Echoes::default(),
            })
        };
        let all = (0..subscribers).map(subscribe);
        let all = all.collect::<Result<Vec<_>, Failure>>()?;
        let poster = client::connect(addresses[0], Wire::Tcp)?;
        Ok(Self {
            poster: Poster {
                stream: connected(poster, subscribers)?,
                answer: Vec::new(),
            },
            poll,
            events: Events::with_capacity(1024),
            subscribers: all,
            traffic,
            buffer: vec![0; READ_BUFFER],
            posted: 0,
            missing: 0,
        })
    }

    /// Posts one message after another for this long, and tells how long each took to be received
    /// by all.
    pub fn post_for(
        &mut self,
        time: Duration,
        mut took: impl FnMut(Duration),
    ) -> Result<(), Failure> {
        let deadline = Instant::now() + time;
        while Instant::now() < deadline {
            took(self.post()?);
        }
        Ok(())
    }

    /// Posts a message, and returns the time until the last subscriber has it.
    fn post(&mut self) -> Result<Duration, Failure> {
        let payload = &self.traffic.echo_of(self.posted)[self.traffic.head..];
        let begun = Instant::now();
        self.poster.send(payload)?;
        self.missing = self.subscribers.len();
        let mut last = begun;
        while self.missing > 0 || !self.poster.is_answered()? {
            let was_missing = self.missing > 0;
            self.turn()?;
            let now = Instant::now();
            if was_missing && self.missing == 0 {
                last = now;
            }
            if now - begun > PATIENCE {
                let missing = self.missing;
                return Err(format!("{missing} subscribers wait for a message").into());
            }
        }
        self.posted += 1;
        Ok(last - begun)
    }

    /// Reads what has come, and never sleeps: to wake another core costs the server as much as the
    /// rest of a short write on a virtual machine.
    fn turn(&mut self) -> Result<(), Failure> {
        match self.poll.poll(&mut self.events, Some(Duration::ZERO)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            polled => polled?,
        }
        for event in &self.events {
            match self.subscribers.get_mut(event.token().0) {
                Some(subscriber) => {
                    let whole = subscriber.read(&mut self.buffer, self.traffic)?;
                    let missing = self.missing.checked_sub(whole);
                    self.missing = missing.ok_or("a message comes twice")?;
                }
                None => self.poster.read(&mut self.buffer)?,
            }
        }
        Ok(())
    }

    /// Says goodbye to all, without waiting for the answers: nothing is measured any more.
    pub fn close(mut self, goodbye: &[u8]) {
        for subscriber in &mut self.subscribers {
            let _ = subscriber.stream.write(goodbye);
        }
    }
}

struct Subscriber {
    stream: TcpStream,
    received: Echoes,
}

impl Subscriber {
    /// Reads what has come, and returns the number of messages.
    fn read(&mut self, buffer: &mut [u8], traffic: &Traffic) -> Result<usize, Failure> {
        let mut whole = 0;
        loop {
            let Some(read) = read_some(&mut self.stream, buffer)? else {
                return Ok(whole);
            };
            whole += self.received.read(traffic, &buffer[..read])?;
            // What a short read leaves behind has not come yet, and will be an event of its own.
            if read < buffer.len() {
                return Ok(whole);
            }
        }
    }
}

struct Poster {
    stream: TcpStream,
    /// As much of the answer as has come.
    answer: Vec<u8>,
}

impl Poster {
    fn send(&mut self, payload: &[u8]) -> Result<(), Failure> {
        self.answer.clear();
        let length = payload.len();
        let head = format!(
            "POST {POST} HTTP/1.1\r\nHost: localhost\r\n\
             Content-Type: application/octet-stream\r\nContent-Length: {length}\r\n\r\n"
        );
        let request = [head.as_bytes(), payload].concat();
        match self.stream.write(&request)? == request.len() {
            true => Ok(()),
            false => Err("the socket of the poster is full".into()),
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<(), Failure> {
        while let Some(read) = read_some(&mut self.stream, buffer)? {
            self.answer.extend_from_slice(&buffer[..read]);
        }
        Ok(())
    }

    /// Whether the whole answer has come, which says that there were receivers.
    fn is_answered(&self) -> Result<bool, Failure> {
        let answer = String::from_utf8_lossy(&self.answer);
        let Some((head, body)) = answer.split_once("\r\n\r\n") else {
            return Ok(false);
        };
        let mut lines = head.lines();
        let status = lines.next().unwrap_or_default();
        if !status.starts_with("HTTP/1.1 200 ") && !status.starts_with("HTTP/1.1 201 ") {
            return Err(format!("a post is answered with {status}").into());
        }
        let mut headers = lines.filter_map(|line| line.split_once(':'));
        let length = headers.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        let length = length.map_or(Ok(0), |(_, length)| length.trim().parse::<usize>())?;
        Ok(body.len() >= length)
    }
}

/// Reads what is there, or nothing if nothing is.
fn read_some(stream: &mut TcpStream, buffer: &mut [u8]) -> Result<Option<usize>, Failure> {
    match stream.read(buffer) {
        Ok(0) => Err("the server ends the connection".into()),
        Ok(read) => Ok(Some(read)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error.into()),
    }
}
