//! A session, over a stream that is cut up, delayed and broken as the input says.
//!
//! | bytes of the input | |
//! |---|---|
//! | 1 | [settings](config) |
//! | 1 | bytes that were read with the request |
//! | 1 | where a [large message](LARGE_MESSAGE) goes between the client's bytes, or 0 |
//! | 2 | lengths of the next two |
//! | … | [steps](Step) of reading |
//! | … | steps of writing |
//! | the rest | what the client sends before it closes its side |

#![no_main]

use std::io::{self, ErrorKind, IoSlice};
use std::mem;
use std::pin::Pin;
use std::slice;
use std::sync::LazyLock;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use echobeat::ServerConfig;
use echobeat::fuzzing::{self, Ending};
use echobeat_frames::{masked, split_frame, split_header};
use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime;
use tokio::time::{Instant, Sleep, sleep, timeout};

/// Opcodes (RFC 6455, section 5.2).
const CONTINUED: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;

/// The bit of a first byte that says that a frame ends its message.
const FIN: u8 = 0x80;

/// An instrumented loop over a large message takes longer than its session.
const NO_MASK: [u8; 4] = [0; 4];

/// The most that a control frame carries.
const MAX_CONTROL_PAYLOAD: u64 = 125;

/// The code of a close without a Close frame, and of a Close frame without a code.
const ABNORMAL: u16 = 1006;
const NO_STATUS: u16 = 1005;

/// Longer, by the session's clock, than all waits of an input together.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// Times that a step waits: some around the timeouts of a few milliseconds, some around the beats,
/// some beyond what the session has patience for.
const WAITS: [Duration; 8] = [
    Duration::from_millis(1),
    Duration::from_millis(2),
    Duration::from_millis(9),
    Duration::from_millis(11),
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(11),
    Duration::from_secs(31),
];

/// The longest that one direction waits in all: enough for each of those waits once. A Ping each
/// millisecond makes a second of an instrumented session take some 70 ms.
const MAX_WAIT: Duration = Duration::from_secs(47);

fuzz_target!(|input: &[u8]| {
    let [settings, early, large, reads, writes, rest @ ..] = input else {
        return;
    };
    let (reads, rest) = split(rest, *reads);
    let (writes, rest) = split(rest, *writes);
    let sent = match large.checked_sub(1) {
        None => rest.to_vec(),
        Some(at) => {
            let (before, behind) = split(rest, at);
            [before, &LARGE_MESSAGE, behind].concat()
        }
    };
    let (early, unread) = split(&sent, *early);
    let (config, drain_after) = config(*settings);
    let mut stream = Stream {
        unread,
        written: Vec::new(),
        reading: Pace::new(reads),
        writing: Pace::new(writes),
        is_broken: false,
        polled_at: None,
        polls: 0,
        // Enough for every byte to come and go alone.
        max_polls: (1 << 12) + 16 * sent.len(),
    };
    let runtime = runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let ending = runtime.block_on(async {
        let session = fuzzing::session(&mut stream, early.to_vec(), &config, drain_after);
        timeout(PATIENCE, session).await.expect("the session ends")
    });
    check(&stream.written, &sent, &config, &ending);
});

/// Splits `bytes` at `at`, or at their end.
fn split(bytes: &[u8], at: u8) -> (&[u8], &[u8]) {
    bytes.split_at(usize::from(at).min(bytes.len()))
}

/// The settings of a session, and when it is to drain: each bit away from the default.
fn config(settings: u8) -> (ServerConfig, Option<Duration>) {
    let is_set = |bit: u8| settings & bit != 0;
    let mut config = ServerConfig {
        // The session picks random moments within an interval and a drain. By a clock that ticks in
        // milliseconds these leave it no choice, and an input does the same in every run.
        ping_interval: Some(Duration::from_millis(1)),
        ping_timeout: Duration::from_millis(10),
        drain: Duration::ZERO,
        ..ServerConfig::default()
    };
    if is_set(0x01) {
        config.heartbeat = None;
    }
    if is_set(0x02) {
        config.ping_interval = None;
    }
    if is_set(0x04) {
        config.max_message_size = 200;
    }
    let drain_after = match settings >> 3 & 0x03 {
        0 => None,
        1 => Some(Duration::ZERO),
        2 => Some(Duration::from_millis(5)),
        _ => Some(Duration::from_secs(5)),
    };
    (config, drain_after)
}

/// A frame of a size from which the session does not copy. The input has no room for one: the larger
/// it is, the fewer are tried.
static LARGE_MESSAGE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let payload: Vec<u8> = (0..=255).cycle().take(32 << 10).collect();
    masked(FIN | BINARY, NO_MASK, &payload)
});

/// The session's end of a connection.
struct Stream<'a> {
    unread: &'a [u8],
    written: Vec<u8>,
    reading: Pace<'a>,
    writing: Pace<'a>,
    is_broken: bool,
    /// Moment of the last poll, and number of polls at that moment. A session that waits lets the
    /// clock go on.
    polled_at: Option<Instant>,
    polls: usize,
    max_polls: usize,
}

/// What one direction of a stream does, step by step. Behind the last step, it moves all there is.
struct Pace<'a> {
    steps: slice::Iter<'a, u8>,
    wait: Option<Pin<Box<Sleep>>>,
    /// Time that it may still wait.
    patience: Duration,
}

/// What a read or write comes to.
enum Step {
    /// It is pending, and woken at once.
    Yield,
    /// It moves at most this many bytes.
    Move(usize),
    /// It is pending for a time.
    Wait(Duration),
    /// It fails, and so does all that follows.
    Fail,
}

impl From<u8> for Step {
    fn from(byte: u8) -> Self {
        match byte {
            0 => Self::Yield,
            1..0x80 => Self::Move(byte.into()),
            0x80..0xf0 => Self::Move((usize::from(byte) - 0x7f) * 256),
            0xf0..0xff => Self::Wait(WAITS[usize::from(byte) % WAITS.len()]),
            0xff => Self::Fail,
        }
    }
}

impl<'a> Pace<'a> {
    fn new(steps: &'a [u8]) -> Self {
        Self {
            steps: steps.iter(),
            wait: None,
            patience: MAX_WAIT,
        }
    }

    /// How many bytes move now.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        loop {
            if let Some(wait) = &mut self.wait {
                ready!(wait.as_mut().poll(cx));
                self.wait = None;
            }
            match self.steps.next().map(|byte| Step::from(*byte)) {
                None => return Poll::Ready(Ok(usize::MAX)),
                Some(Step::Move(room)) => return Poll::Ready(Ok(room)),
                Some(Step::Wait(time)) => {
                    let time = time.min(self.patience);
                    self.patience -= time;
                    self.wait = Some(Box::pin(sleep(time)));
                }
                Some(Step::Yield) => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Some(Step::Fail) => {
                    return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
                }
            }
        }
    }
}

impl Stream<'_> {
    /// Notes a poll, and fails if the stream has.
    fn begin_poll(&mut self) -> io::Result<()> {
        let now = Some(Instant::now());
        if mem::replace(&mut self.polled_at, now) != now {
            self.polls = 0;
        }
        self.polls += 1;
        assert!(self.polls <= self.max_polls, "the session waits");
        match self.is_broken {
            true => Err(ErrorKind::ConnectionReset.into()),
            false => Ok(()),
        }
    }

    fn break_off(&mut self, _: &io::Error) {
        self.is_broken = true;
    }
}

impl AsyncRead for Stream<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.begin_poll()?;
        let room = ready!(self.reading.poll_room(cx)).inspect_err(|e| self.break_off(e))?;
        let (read, unread) = self
            .unread
            .split_at(room.min(buf.remaining()).min(self.unread.len()));
        buf.put_slice(read);
        self.unread = unread;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream<'_> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.begin_poll()?;
        let room = ready!(self.writing.poll_room(cx)).inspect_err(|e| self.break_off(e))?;
        let mut left = room;
        for part in parts {
            let taken = left.min(part.len());
            self.written.extend_from_slice(&part[..taken]);
            left -= taken;
        }
        Poll::Ready(Ok(room - left))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.begin_poll())
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        unreachable!("a session leaves that to its connection")
    }
}

/// Checks what the session wrote against what the client sent, and against the session's own word.
fn check(written: &[u8], sent: &[u8], config: &ServerConfig, ending: &Ending) {
    let (messages, pings) = split_client_messages(sent);
    let (mut messages, mut pings) = (messages.iter().peekable(), pings.iter());
    let (mut echoes, mut beats) = (0, 0);
    let mut close = None;
    let mut rest = written;
    while let Some((opcode, payload, behind)) = split_server_frame(rest) {
        assert!(close.is_none(), "Close is last");
        let message = (opcode, payload.to_vec());
        match opcode {
            TEXT | BINARY if messages.next_if_eq(&&message).is_some() => echoes += 1,
            TEXT => {
                assert!(config.heartbeat.is_some());
                assert_eq!(payload, config.heartbeat_text.as_bytes());
                beats += 1;
            }
            PING => assert!(config.ping_interval.is_some() && payload.is_empty()),
            // A Pong may stand for the Pings before it (RFC 6455, section 5.5.3).
            PONG => assert!(pings.any(|ping| ping == payload)),
            CLOSE => close = Some(payload),
            opcode => panic!("{opcode:#x} with {} bytes", payload.len()),
        }
        rest = behind;
    }
    assert!(close.is_none() || rest.is_empty(), "Close is last");
    assert!(!ending.reason.contains(char::is_control));
    if !ending.lingers {
        return;
    }
    assert!(rest.is_empty(), "the last frame is whole");
    assert_eq!(echoes + beats, ending.sent);
    // More if the client sent a heart beat, which is then taken for its echo.
    assert!(echoes >= ending.received);
    match close {
        None => assert_eq!(ending.code, ABNORMAL),
        Some([]) => assert_eq!(ending.code, NO_STATUS),
        Some([high, low, reason @ ..]) => {
            assert_eq!(ending.code, u16::from_be_bytes([*high, *low]));
            assert!(str::from_utf8(reason).is_ok());
        }
        Some(payload) => panic!("Close with {payload:?}"),
    }
}

/// The opcode and the payload of the first of a server's frames, and what is behind it; `None` if it
/// is not whole.
fn split_server_frame(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (header, _) = split_header(bytes)?;
    assert_eq!(header.first & 0xf0, FIN, "FIN, and no reserved bits");
    assert_eq!(header.mask, None);
    let shortest_header = match header.length {
        0..126 => 2,
        126..=0xffff => 4,
        _ => 10,
    };
    assert_eq!(header.size, shortest_header);
    let (frame, rest) = split_frame(bytes)?;
    let opcode = header.first & 0x0f;
    match opcode {
        TEXT => assert!(str::from_utf8(frame.payload).is_ok()),
        CLOSE | PING | PONG => assert!(header.length <= MAX_CONTROL_PAYLOAD),
        _ => {}
    }
    Some((opcode, frame.payload, rest))
}

/// A message: its opcode, and its payload.
type Message = (u8, Vec<u8>);

/// The messages and the payloads of Pings that a client's bytes begin with. What breaks the protocol
/// by its content alone passes: the session may stop before the end of these, not go on behind it.
fn split_client_messages(mut bytes: &[u8]) -> (Vec<Message>, Vec<Vec<u8>>) {
    let (mut messages, mut pings) = (Vec::new(), Vec::new());
    let mut begun: Option<Message> = None;
    while let Some((frame, rest)) = split_frame(bytes) {
        if frame.header.mask.is_none() {
            break;
        }
        let payload = frame.unmasked();
        let (opcode, is_last) = (frame.header.first & 0x0f, frame.header.first & FIN != 0);
        match (opcode, &mut begun) {
            (TEXT | BINARY, None) => begun = Some((opcode, payload)),
            (CONTINUED, Some((_, whole))) => whole.extend(payload),
            (PING, _) => pings.push(payload),
            (PONG, _) => {}
            _ => break,
        }
        if opcode < CLOSE && is_last {
            messages.extend(begun.take());
        }
        bytes = rest;
    }
    (messages, pings)
}
