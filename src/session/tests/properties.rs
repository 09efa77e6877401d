//! Properties of sessions, over a stream that cuts reads and writes into pieces of given sizes.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use echobeat_frames::split_frame;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use tokio::io::{AsyncWrite, ReadBuf};
use tokio::runtime::{Builder, Runtime};

use super::*;
use crate::runtime::shutdown::Drain;
use crate::session::faulty::{self, Script};
use crate::session::write_buffer::LARGE;

/// A stream that reads `input` to its end and keeps what is written, both in pieces of the given
/// sizes, over and over. A size of 0 means that the stream is not ready once.
pub(super) struct CutStream {
    input: io::Cursor<Vec<u8>>,
    output: Arc<Mutex<Vec<u8>>>,
    reads: std::iter::Cycle<std::vec::IntoIter<usize>>,
    writes: std::iter::Cycle<std::vec::IntoIter<usize>>,
}

impl Transport for CutStream {
    fn reset(self) {}

    fn poll_hangup(&mut self, _: &mut Context<'_>) -> Poll<Hangup> {
        Poll::Pending
    }

    fn drains_by_short_read(&self) -> bool {
        true
    }
}

impl AsyncRead for CutStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let size = self.reads.next().unwrap_or(usize::MAX);
        if size == 0 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let at = self.input.position() as usize;
        let rest = &self.input.get_ref()[at..];
        let piece = rest.len().min(size).min(buf.remaining());
        buf.put_slice(&rest[..piece]);
        self.input.set_position((at + piece) as u64);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for CutStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let size = self.writes.next().unwrap_or(usize::MAX);
        if size == 0 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let piece = bytes.len().min(size);
        self.output.lock().unwrap().extend(&bytes[..piece]);
        Poll::Ready(Ok(piece))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Sizes of pieces. Not all are 0, so that there is progress.
pub(super) fn cuts() -> impl Strategy<Value = Vec<usize>> {
    let size = prop_oneof![Just(0), 1..20_usize, 1..5_000_usize, Just(usize::MAX)];
    vec(size, 0..8).prop_map(|mut sizes| {
        sizes.push(4096);
        sizes
    })
}

/// Runs a session, and returns the bytes that it writes until it ends, and its report.
fn converse(input: Vec<u8>, reads: Vec<usize>, writes: Vec<usize>) -> (Vec<u8>, Report) {
    let run = async |stream, config, drain| {
        let session = run(stream, b"", context(config, drain));
        session.await.0
    };
    converse_by(run, input, reads, writes)
}

/// Runs a session with a scenario, and returns the same as [`converse`].
fn play(
    scenario: &str,
    input: Vec<u8>,
    reads: Vec<usize>,
    writes: Vec<usize>,
) -> (Vec<u8>, Report) {
    let run = async |stream, config, drain| {
        let script = Script {
            scenario: &scenario.parse().unwrap(),
            head: Vec::new(),
            request_info: None,
        };
        let session = faulty::run(stream, b"", script, context(config, drain));
        session.await.0
    };
    converse_by(run, input, reads, writes)
}

pub(super) fn converse_by(
    run: impl AsyncFnOnce(CutStream, ServerConfig, Drain) -> Report,
    input: Vec<u8>,
    reads: Vec<usize>,
    writes: Vec<usize>,
) -> (Vec<u8>, Report) {
    thread_local! {
        static RUNTIME: RefCell<Runtime> = RefCell::new(
            Builder::new_current_thread().enable_time().start_paused(true).build().unwrap(),
        );
    }
    let output = Arc::new(Mutex::new(Vec::new()));
    let stream = CutStream {
        input: io::Cursor::new(input),
        output: Arc::clone(&output),
        reads: reads.into_iter().cycle(),
        writes: writes.into_iter().cycle(),
    };
    let config = ServerConfig {
        max_message_size: 4 * LARGE,
        ..quiet()
    };
    let drain = Shutdown::new().subscribe();
    let session = async {
        let session = run(stream, config, drain);
        timeout(PATIENCE, session).await.expect("the session ends")
    };
    let report = RUNTIME.with_borrow(|runtime| runtime.block_on(session));
    let written = std::mem::take(&mut *output.lock().unwrap());
    (written, report)
}

/// Parses `bytes` as whole server frames, into first bytes and payloads, or `None` if they are not.
pub(super) fn frames(mut bytes: &[u8]) -> Option<Vec<(u8, Vec<u8>)>> {
    let mut frames = Vec::new();
    while let Some((frame, rest)) = split_frame(bytes) {
        if frame.header.mask.is_some() {
            return None;
        }
        frames.push((frame.header.first, frame.payload.to_vec()));
        bytes = rest;
    }
    bytes.is_empty().then_some(frames)
}

/// A message, the places where it is cut into fragments, and the control frame before each.
#[derive(Debug, Clone)]
struct Sent {
    text: bool,
    payload: Vec<u8>,
    cuts: Vec<Index>,
    control: Option<(u8, Vec<u8>)>,
}

impl Sent {
    fn whole(&self) -> u8 {
        if self.text { TEXT } else { BINARY }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut at: Vec<_> = self
            .cuts
            .iter()
            .map(|cut| cut.index(self.payload.len() + 1))
            .collect();
        at.extend([0, self.payload.len()]);
        at.sort_unstable();
        let mut bytes = Vec::new();
        for (n, cut) in at.windows(2).enumerate() {
            let last = n + 2 == at.len();
            let opcode = if n == 0 {
                self.whole() & 0x0f
            } else {
                CONTINUED
            };
            let fin = if last { 0x80 } else { 0 };
            if let Some((first, payload)) = &self.control {
                bytes.extend(frame(*first, payload));
            }
            bytes.extend(frame(fin | opcode, &self.payload[cut[0]..cut[1]]));
        }
        bytes
    }
}

fn message() -> impl Strategy<Value = Sent> {
    let payload = prop_oneof![
        8 => "\\PC{0,60}".prop_map(|text| (true, text.into_bytes())),
        8 => vec(any::<u8>(), 0..200).prop_map(|data| (false, data)),
        1 => (any::<bool>(), LARGE - 2..4 * LARGE).prop_map(|(text, size)| (text, vec![b'x'; size])),
    ];
    let control = (
        prop_oneof![Just(PING), Just(PONG)],
        vec(any::<u8>(), 0..=125),
    );
    (
        payload,
        vec(any::<Index>(), 0..4),
        proptest::option::of(control),
    )
        .prop_map(|((text, payload), cuts, control)| Sent {
            text,
            payload,
            cuts,
            control,
        })
}

/// Bytes that are mostly frames, with some that are not.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => message().prop_map(|message| message.bytes()),
        2 => (any::<u8>(), vec(any::<u8>(), 0..130)).prop_map(|(first, data)| frame(first, &data)),
        2 => (any::<u8>(), any::<u64>()).prop_map(|(first, length)| header(first, length)),
        1 => vec(any::<u8>(), 0..40),
        1 => vec(any::<u8>(), 0..125).prop_map(|payload| frame(CLOSE, &payload)),
    ];
    vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn valid_messages_come_back_however_they_are_cut(
        messages in vec(message(), 0..10),
        reads in cuts(),
        writes in cuts(),
        closes in any::<bool>(),
    ) {
        let mut input: Vec<u8> = messages.iter().flat_map(Sent::bytes).collect();
        if closes {
            input.extend(frame(CLOSE, &1000_u16.to_be_bytes()));
        }
        let (written, report) = converse(input, reads, writes);
        let frames = frames(&written).expect("whole frames");
        let (controls, echoes): (Vec<_>, Vec<_>) =
            frames.into_iter().partition(|(first, _)| *first >= CLOSE);

        let expected: Vec<_> = messages.iter().map(|m| (m.whole(), m.payload.clone())).collect();
        prop_assert!(echoes == expected, "{} echoes for {}", echoes.len(), expected.len());
        prop_assert_eq!(report.end.word(), if closes { "closed" } else { "eof" });
        let pongs = messages.iter().flat_map(|message| {
            let ping = message.control.iter().filter(|(first, _)| *first == PING);
            let pong = ping.map(|(_, payload)| (PONG, payload.clone()));
            pong.cycle().take(message.cuts.len() + 1)
        });
        let close = closes.then(|| (CLOSE, 1000_u16.to_be_bytes().to_vec()));
        let expected: Vec<_> = pongs.chain(close).collect();
        prop_assert_eq!(controls, expected);
    }

    #[test]
    fn whatever_comes_the_session_ends_and_writes_whole_frames(
        input in noise(),
        reads in cuts(),
        writes in cuts(),
    ) {
        let (written, _report) = converse(input, reads, writes);
        let frames = frames(&written).expect("whole frames");
        let close = frames.iter().position(|(first, _)| *first == CLOSE);
        prop_assert!(close.is_none_or(|at| at + 1 == frames.len()), "{frames:?}");
        for (first, payload) in frames {
            prop_assert!([TEXT, BINARY, CLOSE, PONG].contains(&first), "{first:#x}");
            prop_assert!(first != TEXT || std::str::from_utf8(&payload).is_ok());
            prop_assert!(first < CLOSE || payload.len() <= 125);
        }
    }

    #[test]
    fn a_scenario_changes_nothing_that_it_does_not_name(
        input in noise(),
        reads in cuts(),
        writes in cuts(),
    ) {
        let (written, report) = converse(input.clone(), reads.clone(), writes.clone());
        let (played, other) = play("beat:off", input, reads, writes);
        prop_assert!(written == played, "{written:x?} {played:x?}");
        prop_assert_eq!(report.end.to_string(), other.end.to_string());
        prop_assert_eq!((report.received, report.sent), (other.received, other.sent));
        prop_assert_eq!((report.clean, report.teardown), (other.clean, other.teardown));
    }

    #[test]
    fn fragments_and_delays_lose_nothing(
        messages in vec(message(), 0..10),
        reads in cuts(),
        writes in cuts(),
        size in 1..300_usize,
    ) {
        let input: Vec<u8> = messages.iter().flat_map(Sent::bytes).collect();
        let scenario = format!("fragment:{size},delay:0ms..10ms");
        let (written, _report) = play(&scenario, input, reads, writes);
        let frames = frames(&written).expect("whole frames");
        let mut echoes: Vec<(u8, Vec<u8>)> = Vec::new();
        for (first, payload) in frames.into_iter().filter(|(first, _)| first & 0x0f < 8) {
            prop_assert!(payload.len() <= size);
            match first & 0x0f {
                0 => echoes.last_mut().expect("a first fragment").1.extend(payload),
                opcode => echoes.push((0x80 | opcode, payload)),
            }
        }
        let expected: Vec<_> = messages.iter().map(|m| (m.whole(), m.payload.clone())).collect();
        prop_assert!(echoes == expected, "{} echoes for {}", echoes.len(), expected.len());
    }
}
