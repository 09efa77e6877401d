//! A WebSocket from the client's side, which hides nothing of what comes: Pings, fragments,
//! compressed messages, and the end of TCP.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, timeout_at};

use super::cut::{Close, Cut, TcpEnd};
use super::deflate::{Inflater, compress};
use super::frames::{Assembler, CLOSE, Incoming, PING, PONG, put_frame};
use crate::ws::deflate::PermessageDeflate;
use crate::ws::frames::{FIN, RSV1};

/// Bytes that are read at once.
const PIECE: usize = 64 << 10;

/// The stream of a session.
pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Io for S {}

/// A message, a control frame, or the end, as it comes from the far end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    Message(Incoming),
    Ping,
    Pong(Bytes),
    /// The end of the connection.
    Cut(Cut),
}

/// Number and times of what came from the far end by itself.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Arrivals {
    pub(super) count: u32,
    first: Option<Instant>,
    last: Option<Instant>,
}

impl Arrivals {
    fn note(&mut self) {
        let now = Instant::now();
        self.count = self.count.saturating_add(1);
        self.first.get_or_insert(now);
        self.last = Some(now);
    }

    /// The time from one to the next, or from `start` to the only one.
    pub(super) fn interval(&self, start: Instant) -> Option<Duration> {
        let (first, last) = (self.first?, self.last?);
        Some(match self.count {
            0 | 1 => first.saturating_duration_since(start),
            count => last.saturating_duration_since(first) / (count - 1),
        })
    }
}

/// A WebSocket.
pub(super) struct Session {
    io: Box<dyn Io>,
    input: BytesMut,
    output: BytesMut,
    assembler: Assembler,
    limit: usize,
    deflate: Option<PermessageDeflate>,
    inflater: Option<Inflater>,
    /// Whether Pings are answered, as RFC 6455 asks for.
    pub(super) answers_pings: bool,
    close: Option<Close>,
    closed_at: Option<Instant>,
    /// Error of a write, after which what came before it is still read.
    unwritable: Option<io::Error>,
    /// Pings from the far end.
    pub(super) pings: Arrivals,
    /// Messages from the far end.
    pub(super) messages: Arrivals,
    /// Name of the connection at an echobeat with an API.
    pub(super) id: Option<String>,
}

impl Session {
    /// A session over `io`, of which `early` has been read already, with messages of up to `limit`
    /// bytes.
    pub(super) fn new(
        io: Box<dyn Io>,
        early: BytesMut,
        deflate: Option<PermessageDeflate>,
        limit: usize,
    ) -> Self {
        Self {
            io,
            input: early,
            output: BytesMut::new(),
            assembler: Assembler::new(limit, deflate.is_some()),
            limit,
            deflate,
            inflater: deflate.map(|_| Inflater::new()),
            answers_pings: true,
            close: None,
            closed_at: None,
            unwritable: None,
            pings: Arrivals::default(),
            messages: Arrivals::default(),
            id: None,
        }
    }

    /// Queues a frame, which [`next`](Self::next) writes.
    pub(super) fn queue(&mut self, first: u8, payload: &[u8]) {
        put_frame(first, payload, &mut self.output);
    }

    /// Queues a compressed message, and returns its size; `None` if compression was not agreed.
    pub(super) fn queue_compressed(&mut self, opcode: u8, payload: &[u8]) -> Option<usize> {
        let compressed = compress(payload, self.deflate?)?;
        self.queue(FIN | RSV1 | opcode, &compressed);
        Some(compressed.len())
    }

    /// Queues a Close.
    pub(super) fn queue_close(&mut self, code: u16, reason: &str) {
        let payload = [&code.to_be_bytes(), reason.as_bytes()].concat();
        self.queue(FIN | CLOSE, &payload);
    }

    /// Queues a Ping.
    pub(super) fn queue_ping(&mut self, payload: &[u8]) {
        self.queue(FIN | PING, payload);
    }

    /// Writes what is queued, and waits for what comes next. Nothing is lost if it is dropped.
    pub(super) async fn next(&mut self) -> Event {
        loop {
            match self.take() {
                Ok(Some(event)) => return event,
                Ok(None) => {}
                Err(rule) => return self.cut(TcpEnd::Violation(rule)),
            }
            match poll_fn(|cx| self.poll_io(cx)).await {
                Ok(0) => return self.cut(TcpEnd::Fin),
                Ok(_) => {}
                Err(error) => return self.cut(error.into()),
            }
        }
    }

    /// Waits for what comes next, up to a moment.
    pub(super) async fn next_by(&mut self, deadline: Instant) -> Option<Event> {
        // The timeout asks for the event first, and would never end a flood.
        if Instant::now() >= deadline {
            return None;
        }
        timeout_at(deadline, self.next()).await.ok()
    }

    /// Writes what is queued, and waits for the end of the connection, up to a moment. Whatever
    /// comes before is dropped.
    pub(super) async fn end_by(&mut self, deadline: Instant) -> Cut {
        loop {
            match self.next_by(deadline).await {
                Some(Event::Cut(cut)) => return cut,
                Some(_) => {}
                None => {
                    return Cut {
                        close: self.close.clone(),
                        tcp: TcpEnd::Open,
                    };
                }
            }
        }
    }

    /// The Close that has come, if one has.
    pub(super) fn close(&self) -> Option<&Close> {
        self.close.as_ref()
    }

    /// Moment at which the Close came.
    pub(super) fn closed_at(&self) -> Option<Instant> {
        self.closed_at
    }

    fn cut(&mut self, tcp: TcpEnd) -> Event {
        // The socket tells of a reset once, and that may have been at a write.
        let tcp = match (tcp, self.unwritable.take()) {
            (TcpEnd::Fin, Some(error)) => match TcpEnd::from(error) {
                TcpEnd::Rst => TcpEnd::Rst,
                _ => TcpEnd::Fin,
            },
            (tcp, _) => tcp,
        };
        Event::Cut(Cut {
            close: self.close.clone(),
            tcp,
        })
    }

    /// Takes the next event from what has come. A Close is kept until TCP has ended.
    fn take(&mut self) -> Result<Option<Event>, &'static str> {
        while let Some(incoming) = self.assembler.next(&mut self.input)? {
            match incoming.opcode {
                PING => {
                    self.pings.note();
                    // A Pong for each Ping is not asked for (RFC 6455, section 5.5.3), and the far end
                    // may not read them.
                    if self.answers_pings && self.output.len() < self.limit + PIECE {
                        self.queue(FIN | PONG, &incoming.payload);
                    }
                    return Ok(Some(Event::Ping));
                }
                PONG => return Ok(Some(Event::Pong(incoming.payload))),
                CLOSE if self.close.is_none() => {
                    self.close = Some(Close::parse(&incoming.payload));
                    self.closed_at = Some(Instant::now());
                    self.answer_close(&incoming.payload);
                }
                CLOSE => {}
                _ => {
                    self.messages.note();
                    return self.inflate(incoming).map(Event::Message).map(Some);
                }
            }
        }
        Ok(None)
    }

    /// Answers a Close with its code, unless that would be in the middle of a message.
    fn answer_close(&mut self, payload: &[u8]) {
        let is_between_frames = self.output.is_empty();
        self.output.clear();
        if is_between_frames {
            self.queue(FIN | CLOSE, &payload[..payload.len().min(2)]);
        }
    }

    fn inflate(&mut self, message: Incoming) -> Result<Incoming, &'static str> {
        let payload = match &mut self.inflater {
            Some(inflater) if message.is_compressed => {
                inflater.inflate(&message.payload, self.limit)?.into()
            }
            _ => return Ok(message),
        };
        Ok(Incoming { payload, ..message })
    }

    /// Writes as far as the stream takes it, and reads: 0 at the end.
    fn poll_io(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Err(error)) = self.poll_write(cx) {
            self.output.clear();
            self.unwritable = Some(error);
        }
        let room = PIECE.min((self.assembler.most() + PIECE).saturating_sub(self.input.len()));
        let start = self.input.len();
        self.input.resize(start + room, 0);
        let mut buf = ReadBuf::new(&mut self.input[start..]);
        let polled = Pin::new(&mut self.io).poll_read(cx, &mut buf);
        let read = buf.filled().len();
        self.input.truncate(start + read);
        ready!(polled)?;
        Poll::Ready(Ok(read))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.output.has_remaining() {
            let written = ready!(Pin::new(&mut self.io).poll_write(cx, &self.output))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.output.advance(written);
        }
        Pin::new(&mut self.io).poll_flush(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;
    use crate::ws::frames::TEXT;

    fn session(io: tokio::io::DuplexStream) -> Session {
        Session::new(Box::new(io), BytesMut::new(), None, 1_000)
    }

    #[tokio::test]
    async fn a_ping_is_seen_and_answered() {
        let (ours, mut theirs) = duplex(1_000);
        let mut session = session(ours);
        theirs.write_all(b"\x89\x01a\x81\x02hi").await.unwrap();
        assert_eq!(session.next().await, Event::Ping);
        let Event::Message(message) = session.next().await else {
            panic!("a message was expected");
        };
        assert_eq!((message.opcode, &message.payload[..]), (TEXT, &b"hi"[..]));
        theirs.write_all(b"\x8a\x00").await.unwrap();
        assert_eq!(session.next().await, Event::Pong(Bytes::new()));
        let mut pong = [0; 7];
        theirs.read_exact(&mut pong).await.unwrap();
        assert_eq!(pong[..2], [0x8a, 0x81]);
        assert_eq!((session.pings.count, session.messages.count), (1, 1));
    }

    #[tokio::test]
    async fn a_flood_of_pings_is_bounded_in_memory_and_time() {
        let (ours, mut theirs) = duplex(10_000);
        let mut session = session(ours);
        let pings = [&[0x89, 125][..], &[b'a'; 125]].concat().repeat(10);
        // Nobody reads the Pongs.
        let flood = tokio::spawn(async move { while theirs.write_all(&pings).await.is_ok() {} });
        for _ in 0..2_000 {
            assert_eq!(session.next().await, Event::Ping);
        }
        let waiting = session.output.len();
        assert!(waiting < 1_000 + PIECE + 200, "{waiting} bytes");
        assert_eq!(session.next_by(Instant::now()).await, None);
        flood.abort();
    }

    #[tokio::test]
    async fn a_close_is_told_of_with_the_end_of_tcp() {
        let (ours, mut theirs) = duplex(1_000);
        let mut session = session(ours);
        theirs.write_all(b"\x88\x05\x0f\xa1bye").await.unwrap();
        drop(theirs);
        let cut = session
            .end_by(Instant::now() + Duration::from_secs(5))
            .await;
        // The reply could not be written any more, which says nothing of a reset of TCP.
        assert_eq!(cut.close.unwrap().to_string(), "Close 4001 (\"bye\")");
    }

    #[tokio::test]
    async fn a_frame_that_breaks_the_protocol_ends_the_session() {
        let (ours, mut theirs) = duplex(1_000);
        let mut session = session(ours);
        theirs.write_all(b"\x83\x00").await.unwrap();
        let Event::Cut(cut) = session.next().await else {
            panic!("an end was expected");
        };
        assert_eq!(cut.tcp, TcpEnd::Violation("the opcode is reserved"));
    }
}
