//! Compressed messages.

use echobeat_frames::close_frame;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use zlib_rs::{Deflate, DeflateConfig, DeflateFlush, Inflate, InflateFlush, Status};

use super::properties::{converse_by, cuts, frames};
use super::*;
use crate::session::faulty::{self, Script};
use crate::session::write_buffer::LARGE;

/// Bit of a frame's first byte that marks a compressed message.
const RSV1: u8 = 0x40;

/// End of a flush, which senders remove from a message.
const FLUSHED: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// Parameters that servers and clients agree on by default.
pub(super) const DEFAULT: PermessageDeflate = PermessageDeflate {
    server_takeover: false,
    client_takeover: false,
    server_window: None,
    client_window: None,
};

/// The same, but with takeover.
const TAKEOVER: PermessageDeflate = PermessageDeflate {
    server_takeover: true,
    client_takeover: true,
    ..DEFAULT
};

/// Compressor and decompressor of a client.
pub(super) struct Zip {
    deflate: Deflate,
    inflate: Inflate,
    agreed: PermessageDeflate,
}

impl Zip {
    pub(super) fn new(agreed: PermessageDeflate, level: i32) -> Self {
        let bits = |window: Option<std::num::NonZero<u8>>| window.map_or(15, |bits| bits.get());
        let config = DeflateConfig {
            level,
            window_bits: -i32::from(bits(agreed.client_window)),
            ..DeflateConfig::default()
        };
        Self {
            deflate: Deflate::new_with_config(config),
            inflate: Inflate::new(false, bits(agreed.server_window)),
            agreed,
        }
    }

    /// Compresses a message, and flushes in the given places too.
    pub(super) fn compress(&mut self, message: &[u8], flushes: &[usize]) -> Vec<u8> {
        let mut out = vec![0; message.len() + message.len() / 8 + 64 * (flushes.len() + 1)];
        let before = self.deflate.total_out();
        let mut at = 0;
        for end in flushes.iter().copied().chain([message.len()]) {
            let written = (self.deflate.total_out() - before) as usize;
            let piece = &message[at..end];
            let flush = DeflateFlush::SyncFlush;
            let status = self.deflate.compress(piece, &mut out[written..], flush);
            status.expect("it compresses");
            at = end;
        }
        out.truncate((self.deflate.total_out() - before) as usize);
        if !self.agreed.client_takeover {
            self.deflate.reset();
        }
        match out.strip_suffix(&FLUSHED) {
            Some(message) => message.to_vec(),
            None => vec![0],
        }
    }

    /// Decompresses a message, byte by byte: then zlib looks back no further than its window.
    fn decompress(&mut self, message: &[u8]) -> Vec<u8> {
        let input = [message, &FLUSHED].concat();
        let before = self.inflate.total_in();
        let (mut out, mut byte) = (Vec::new(), [0]);
        loop {
            let read = (self.inflate.total_in() - before) as usize;
            let made = self.inflate.total_out();
            let flush = InflateFlush::SyncFlush;
            let status = self.inflate.decompress(&input[read..], &mut byte, flush);
            assert_ne!(status.expect("it is compressed"), Status::StreamEnd);
            if self.inflate.total_out() == made {
                let read = self.inflate.total_in() - before;
                assert_eq!(read, input.len() as u64);
                break;
            }
            out.push(byte[0]);
        }
        if !self.agreed.server_takeover {
            self.inflate = Self::new(self.agreed, 1).inflate;
        }
        out
    }
}

/// A client of a session with compression.
fn client(config: ServerConfig, agreed: PermessageDeflate) -> (Client, Zip) {
    (
        Client::start_by(config, PIPE, Some(agreed)),
        Zip::new(agreed, 6),
    )
}

impl Client {
    async fn expect_compressed(&mut self, zip: &mut Zip, first: u8, message: &[u8]) {
        let (got_first, got) = self.frame().await;
        assert_eq!(got_first, first | RSV1);
        assert!(zip.decompress(&got) == message, "{} bytes", got.len());
    }
}

#[tokio::test(start_paused = true)]
async fn what_comes_compressed_goes_back_compressed_and_what_comes_plain_plain() {
    for agreed in [DEFAULT, TAKEOVER] {
        let (mut client, mut zip) = client(quiet(), agreed);
        for message in ["hello", "hello", "", "hello"] {
            let compressed = zip.compress(message.as_bytes(), &[]);
            client.send(&frame(TEXT | RSV1, &compressed)).await;
            client.send(&frame(TEXT, message.as_bytes())).await;
            let message = message.as_bytes();
            client.expect_compressed(&mut zip, TEXT, message).await;
            client.expect(TEXT, message).await;
        }
        client.send(&close_frame(1000, b"")).await;
        client.expect_close(1000).await;
    }
}

#[tokio::test(start_paused = true)]
async fn sessions_that_take_turns_refer_to_their_own_messages_each() {
    for bits in [None, Some(9), Some(12)] {
        let agreed = PermessageDeflate {
            server_window: bits.and_then(std::num::NonZero::new),
            ..TAKEOVER
        };
        // More than a thread keeps compressors for.
        let mut clients: Vec<_> = (0..20).map(|_| client(quiet(), agreed)).collect();
        for turn in 0..4 {
            for (number, (client, zip)) in clients.iter_mut().enumerate() {
                let message = noise(number as u64 + 1, 200);
                let compressed = zip.compress(&message, &[]);
                client.send(&frame(BINARY | RSV1, &compressed)).await;
                let (first, echo) = client.frame().await;
                assert_eq!(first, BINARY | RSV1);
                assert_eq!(echo.len() < 20, turn > 0, "{} bytes", echo.len());
                assert!(zip.decompress(&echo) == message);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_examples_of_the_rfc_are_understood() {
    // RFC 7692, section 7.2.3: one block, again with takeover, stored, with BFINAL, two blocks.
    let hello = b"\xf2\x48\xcd\xc9\xc9\x07\x00";
    let again = b"\xf2\x00\x11\x00\x00";
    let stored = b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00";
    let last = b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00";
    let two = b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00";
    let (mut client, mut zip) = client(quiet(), TAKEOVER);
    for message in [&hello[..], again, stored, two, last, hello, again] {
        client.send(&frame(TEXT | RSV1, message)).await;
        client.expect_compressed(&mut zip, TEXT, b"Hello").await;
    }
}

#[tokio::test(start_paused = true)]
async fn blocks_with_bfinal_are_legal_in_any_place() {
    let last = b"\xf3\x48\xcd\xc9\xc9\x07\x00";
    let twice = [&last[..], last, b"\x00"].concat();
    for agreed in [DEFAULT, TAKEOVER] {
        let (mut client, mut zip) = client(quiet(), agreed);
        client.send(&frame(TEXT | RSV1, &twice)).await;
        client
            .expect_compressed(&mut zip, TEXT, b"HelloHello")
            .await;
        // Without the byte that should follow it.
        client.send(&frame(TEXT | RSV1, last)).await;
        client.expect_compressed(&mut zip, TEXT, b"Hello").await;
        client.send(&frame(TEXT | RSV1, &twice)).await;
        client
            .expect_compressed(&mut zip, TEXT, b"HelloHello")
            .await;
    }
}

#[tokio::test(start_paused = true)]
async fn earlier_messages_may_be_referred_to_behind_a_block_with_bfinal() {
    let hello = b"\xf2\x48\xcd\xc9\xc9\x07\x00";
    let empty_and_again = b"\x03\x00\xf2\x00\x11\x00\x00";
    let (mut client, mut zip) = client(quiet(), TAKEOVER);
    for message in [&hello[..], empty_and_again] {
        client.send(&frame(TEXT | RSV1, message)).await;
        client.expect_compressed(&mut zip, TEXT, b"Hello").await;
    }
}

#[tokio::test(start_paused = true)]
async fn empty_messages_and_empty_blocks_are_legal() {
    let hello = b"\xf2\x48\xcd\xc9\xc9\x07\x00";
    let with_block = [&hello[..], b"\x00\x00\xff\xff\x00"].concat();
    let not_stripped = [&hello[..], &FLUSHED, b"\x00"].concat();
    for agreed in [DEFAULT, TAKEOVER] {
        let (mut client, mut zip) = client(quiet(), agreed);
        for (payload, message) in [
            (&b"\x00"[..], &b""[..]),
            (b"", b""),
            (b"\x02\x00", b""),
            (hello, b"Hello"),
            (&with_block, b"Hello"),
            (&not_stripped, b"Hello"),
        ] {
            client.send(&frame(BINARY | RSV1, payload)).await;
            client.expect_compressed(&mut zip, BINARY, message).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn control_frames_come_between_compressed_fragments() {
    let (mut client, mut zip) = client(quiet(), DEFAULT);
    let compressed = zip.compress(b"hello, hello, hello", &[]);
    client
        .send(&frame(TEXT_BEGUN | RSV1, &compressed[..3]))
        .await;
    client.send(&frame(PING, b"1")).await;
    client.expect(PONG, b"1").await;
    client.send(&frame(CONTINUED, b"")).await;
    client.send(&frame(PING, b"2")).await;
    client.send(&frame(PONG, b"3")).await;
    client.send(&frame(CONTINUED_LAST, &compressed[3..])).await;
    client.expect(PONG, b"2").await;
    client
        .expect_compressed(&mut zip, TEXT, b"hello, hello, hello")
        .await;
    client
        .send(&frame(TEXT_BEGUN | RSV1, &compressed[..3]))
        .await;
    client.send(&close_frame(1000, b"")).await;
    client.expect_close(1000).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_illegal_ends_the_session_with_its_code() {
    let mut zip = Zip::new(DEFAULT, 6);
    let good = zip.compress(b"hello, hello, hello", &[]);
    let bad_text = zip.compress(b"hello \xff", &[]);
    let cut_text = zip.compress(b"hello \xe2\x82", &[]);
    let begun = frame(TEXT_BEGUN | RSV1, &good[..4]);
    let after = |frame: Vec<u8>| [&begun[..], &frame].concat();
    let mut unmasked = frame(TEXT | RSV1, b"");
    unmasked[1] = 0;
    for (code, bytes) in [
        (1007, frame(TEXT | RSV1, b"\xff\xff\xff")),
        (1007, frame(TEXT | RSV1, &good[..good.len() - 4])),
        (1007, frame(TEXT | RSV1, &bad_text)),
        (1007, frame(TEXT | RSV1, &cut_text)),
        (1002, frame(PING | RSV1, b"")),
        (1002, frame(CLOSE | RSV1, b"")),
        (1002, frame(CONTINUED_LAST | RSV1, b"")),
        (1002, frame(TEXT | RSV1 | 0x20, &good)),
        (1002, frame(BINARY | RSV1 | 0x10, &good)),
        (1002, frame(TEXT | 0x20, b"hello")),
        (1002, frame(0x83 | RSV1, &good)),
        (1002, unmasked),
        (1002, after(frame(CONTINUED_LAST | RSV1, &good[4..]))),
        (1002, after(frame(CONTINUED | 0x20, &good[4..]))),
        (1002, after(frame(TEXT | RSV1, &good))),
        (1002, after(frame(TEXT, b"hello"))),
        (1002, after(frame(BINARY, b"hello"))),
        (1002, after(frame(0x83, b"hello"))),
        (1002, after(frame(PING | RSV1, b""))),
        (1002, after(vec![CONTINUED_LAST, 0])),
        (1009, after(header(CONTINUED, 1 << 62))),
    ] {
        for agreed in [DEFAULT, TAKEOVER] {
            let (mut client, _) = client(quiet(), agreed);
            client.send(&bytes).await;
            let report = client.expect_close(code).await;
            assert_ne!(report.end.word(), "closed", "{bytes:x?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn without_an_agreement_no_message_is_compressed() {
    let mut client = Client::start(quiet());
    client.send(&frame(TEXT | RSV1, b"\x00")).await;
    client.expect_close(1002).await;
}

#[tokio::test(start_paused = true)]
async fn text_fails_as_soon_as_it_is_wrong() {
    let mut zip = Zip::new(DEFAULT, 6);
    let text = [&b"hello \xff"[..], &vec![b'x'; 1000]].concat();
    let compressed = zip.compress(&text, &[7]);
    let (mut client, _) = client(quiet(), DEFAULT);
    // All but the last byte of a message.
    client
        .send(&frame(TEXT | RSV1, &compressed)[..compressed.len() + 5])
        .await;
    client.expect_close(1007).await;
}

#[tokio::test(start_paused = true)]
async fn a_message_may_have_the_largest_size_and_not_a_byte_more() {
    for limit in [1, 1000, 100_000] {
        let config = || ServerConfig {
            max_message_size: limit,
            ..quiet()
        };
        let (mut good, mut zip) = client(config(), DEFAULT);
        let message = vec![b'x'; limit + 1];
        let compressed = zip.compress(&message[1..], &[]);
        good.send(&frame(BINARY | RSV1, &compressed)).await;
        good.expect_compressed(&mut zip, BINARY, &message[1..])
            .await;
        let compressed = zip.compress(&message, &[]);
        good.send(&frame(BINARY | RSV1, &compressed)).await;
        good.expect_close(1009).await;
    }
}

#[tokio::test(start_paused = true)]
async fn empty_blocks_without_end_are_bounded() {
    let config = ServerConfig {
        max_message_size: 1000,
        ..quiet()
    };
    let (mut client, _) = client(config, DEFAULT);
    let block = b"\x00\x00\x00\xff\xff".repeat(20_000);
    let mut bytes = frame(BINARY_BEGUN | RSV1, &block);
    bytes.extend(frame(CONTINUED, &block).repeat(20));
    let _ = client.stream.write_all(&bytes).await;
    client.expect_close(1008).await;
}

#[tokio::test(start_paused = true)]
async fn a_drain_lets_the_echo_out_that_is_being_compressed() {
    let (mut client, mut zip) = client(quiet(), DEFAULT);
    let message: Vec<u8> = (0..1_000_000_u32)
        .flat_map(|n| n.wrapping_mul(n).to_le_bytes())
        .collect();
    let compressed = zip.compress(&message, &[]);
    let Client {
        stream, shutdown, ..
    } = &mut client;
    let (mut reader, mut writer) = tokio::io::split(stream);
    let bytes = frame(BINARY | RSV1, &compressed);
    let send = async {
        writer.write_all(&bytes).await.unwrap();
        yield_now().await;
        shutdown.begin(Duration::from_secs(10), usize::MAX);
    };
    let ((), (first, echo)) = tokio::join!(send, read_frame(&mut reader));
    assert_eq!(first, BINARY | RSV1);
    assert!(zip.decompress(&echo) == message);
    let (first, _) = read_frame(&mut reader).await;
    assert_eq!(first, CLOSE);
}

/// A message, whether it is compressed and where zlib flushes, and how it is cut into fragments.
#[derive(Debug, Clone)]
struct Sent {
    payload: Vec<u8>,
    is_text: bool,
    is_compressed: bool,
    flushes: Vec<Index>,
    cuts: Vec<Index>,
    ping: Option<Vec<u8>>,
}

impl Sent {
    fn first(&self) -> u8 {
        if self.is_text { TEXT } else { BINARY }
    }

    fn frames(&self, zip: &mut Zip) -> Vec<u8> {
        let ends = |cuts: &[Index], size: usize| {
            let mut ends: Vec<_> = cuts.iter().map(|cut| cut.index(size + 1)).collect();
            ends.sort_unstable();
            ends
        };
        let (payload, rsv) = match self.is_compressed {
            true => {
                let flushes = ends(&self.flushes, self.payload.len());
                (zip.compress(&self.payload, &flushes), RSV1)
            }
            false => (self.payload.clone(), 0),
        };
        let (mut at, mut bytes) = (0, Vec::new());
        for end in ends(&self.cuts, payload.len()) {
            let first = if bytes.is_empty() {
                self.first() & 0x0f | rsv
            } else {
                CONTINUED
            };
            bytes.extend(frame(first, &payload[at..end]));
            bytes.extend(self.ping.iter().flat_map(|ping| frame(PING, ping)));
            at = end;
        }
        let first = if bytes.is_empty() {
            self.first() | rsv
        } else {
            CONTINUED_LAST
        };
        bytes.extend(frame(first, &payload[at..]));
        bytes
    }
}

fn message() -> impl Strategy<Value = Sent> {
    let long = LARGE - 2..4 * LARGE;
    let payload = prop_oneof![
        6 => "\\PC{0,60}".prop_map(|text| (true, text.into_bytes())),
        6 => vec(any::<u8>(), 0..200).prop_map(|data| (false, data)),
        2 => ("[a-e]{1,40}", 1..2_000_usize).prop_map(|(text, n)| (true, text.repeat(n).into_bytes())),
        1 => (any::<bool>(), long.clone()).prop_map(|(text, size)| (text, vec![b'x'; size])),
        1 => (any::<u64>(), long).prop_map(|(seed, size)| (false, noise(seed, size))),
    ];
    (
        payload,
        prop::bool::weighted(0.8),
        vec(any::<Index>(), 0..3),
        vec(any::<Index>(), 0..4),
        proptest::option::of(vec(any::<u8>(), 0..=125)),
    )
        .prop_map(
            |((is_text, mut payload), is_compressed, flushes, cuts, ping)| {
                payload.truncate(4 * LARGE);
                Sent {
                    payload,
                    is_text,
                    is_compressed,
                    flushes,
                    cuts,
                    ping,
                }
            },
        )
}

/// Bytes that do not compress.
fn noise(seed: u64, size: usize) -> Vec<u8> {
    let next = |n: &u64| Some(n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    let numbers = std::iter::successors(Some(seed), next);
    numbers.map(|n| (n >> 56) as u8).take(size).collect()
}

fn agreement() -> impl Strategy<Value = PermessageDeflate> {
    let window =
        || proptest::option::of(9..=15_u8).prop_map(|bits| bits.and_then(std::num::NonZero::new));
    (any::<bool>(), any::<bool>(), window(), window()).prop_map(
        |(server_takeover, client_takeover, server_window, client_window)| PermessageDeflate {
            server_takeover,
            client_takeover,
            server_window,
            client_window,
        },
    )
}

/// Runs a session with the steps of a scenario, or an ordinary one without any.
fn converse(
    agreed: PermessageDeflate,
    steps: &str,
    input: Vec<u8>,
    reads: Vec<usize>,
    writes: Vec<usize>,
) -> (Vec<u8>, Report) {
    let run = async |stream, config, drain| {
        let context = SessionContext {
            deflate: Some(agreed),
            ..context(config, drain)
        };
        if steps.is_empty() {
            return run(stream, b"", context).await.0;
        }
        let script = Script {
            scenario: &steps.parse().unwrap(),
            head: Vec::new(),
            request_info: None,
        };
        faulty::run(stream, b"", script, context).await.0
    };
    converse_by(run, input, reads, writes)
}

/// The messages in a server's bytes, decompressed: whether each was compressed, its first byte, and
/// its payload.
fn echoes(written: &[u8], zip: &mut Zip) -> Vec<(bool, u8, Vec<u8>)> {
    let mut echoes: Vec<(bool, u8, Vec<u8>)> = Vec::new();
    let mut is_complete = true;
    for (first, payload) in frames(written).expect("whole frames") {
        if first >= CLOSE && first & RSV1 == 0 {
            continue;
        }
        if is_complete {
            echoes.push((first & RSV1 != 0, first & !RSV1 | 0x80, payload));
        } else {
            assert_eq!(first & !0x80, 0, "a continuation without RSV1");
            echoes.last_mut().unwrap().2.extend(payload);
        }
        is_complete = first & 0x80 != 0;
    }
    for (is_compressed, _, payload) in &mut echoes {
        if *is_compressed {
            *payload = zip.decompress(payload);
        }
    }
    echoes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn compressed_messages_come_back_however_they_are_cut(
        messages in vec(message(), 0..8),
        agreed in agreement(),
        level in 0..=9_i32,
        steps in prop::sample::select(&["", "fragment:1000", "fragment:3", "delay:1ms", "rate:1GiB"][..]),
        reads in cuts(),
        writes in cuts(),
    ) {
        let mut zip = Zip::new(agreed, level);
        let mut input: Vec<u8> = messages.iter().flat_map(|sent| sent.frames(&mut zip)).collect();
        input.extend(close_frame(1000, b""));
        let (written, report) = converse(agreed, steps, input, reads, writes);
        let echoes = echoes(&written, &mut zip);
        let is_delayed = steps.starts_with("delay");
        let expected: Vec<_> = messages
            .iter()
            .map(|sent| (sent.is_compressed, sent.first(), sent.payload.clone()))
            .collect();
        // A Close overtakes echoes that are delayed.
        let expected = if is_delayed { &expected[..echoes.len()] } else { &expected };
        prop_assert!(echoes == expected, "{} echoes for {}", echoes.len(), expected.len());
        prop_assert_eq!(report.end.word(), "closed");
    }

    #[test]
    fn whatever_is_compressed_the_session_ends_and_writes_whole_frames(
        messages in vec(message(), 0..4),
        noise in vec(any::<u8>(), 0..40),
        at in any::<Index>(),
        agreed in agreement(),
        reads in cuts(),
    ) {
        let mut zip = Zip::new(agreed, 6);
        let mut input: Vec<u8> = messages.iter().flat_map(|sent| sent.frames(&mut zip)).collect();
        let at = at.index(input.len() + 1);
        input.splice(at..at, noise);
        let (written, report) = converse(agreed, "", input, reads, vec![4096]);
        let frames = frames(&written).expect("whole frames");
        let close = frames.iter().position(|(first, _)| *first == CLOSE);
        prop_assert!(close.is_none_or(|at| at + 1 == frames.len()), "nothing after Close");
        prop_assert!(close.is_some() || report.end.word() == "eof", "{:?}", report);
    }
}
