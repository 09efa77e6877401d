//! Compressed messages: what comes back decompresses to what was sent.
//!
//! | bytes of the input | |
//! |---|---|
//! | 1 | bit 0: takeover; bit 1: text; bits 4 to 6: the server's window less 9, 7 for none |
//! | 1 | size of the first fragment |
//! | 1 | bytes of the first message, or of all there are |
//! | the rest | two compressed messages |

#![no_main]

use echobeat::ServerConfig;
use echobeat::fuzzing;
use echobeat_frames::{frame, split_frame};
use libfuzzer_sys::fuzz_target;
use tokio::io::join;
use tokio::runtime;
use zlib_rs::{Inflate, InflateFlush, Status};

const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CONTINUED: u8 = 0x0;
const CLOSE: u8 = 0x88;
const FIN: u8 = 0x80;
const RSV1: u8 = 0x40;

/// End of a flush, which senders remove from a message.
const FLUSHED: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// Largest message: a bomb of a few kilobytes is larger.
const LIMIT: usize = 1 << 20;

fuzz_target!(|input: &[u8]| {
    let [settings, fragment, first, rest @ ..] = input else {
        return;
    };
    let is_set = |bit: u8| settings & bit != 0;
    let takeover = is_set(1);
    let opcode = if is_set(2) { TEXT } else { BINARY };
    let window = Some(9 + (settings >> 4 & 7)).filter(|bits| *bits < 16);
    let messages = rest.split_at(usize::from(*first).min(rest.len()));
    let mut sent = Vec::new();
    for message in [messages.0, messages.1] {
        let (begun, rest) = message.split_at(usize::from(*fragment).min(message.len()));
        sent.extend(frame(RSV1 | opcode, begun));
        sent.extend(frame(FIN | CONTINUED, rest));
    }
    let config = ServerConfig {
        heartbeat: None,
        max_message_size: LIMIT,
        ..ServerConfig::default()
    };
    let mut stream = join(&sent[..], Vec::new());
    let runtime = runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let session = fuzzing::compressed_session(&mut stream, takeover, window, &config);
    let ending = runtime.block_on(session);
    let (_, written) = stream.into_inner();
    let echoes = echoes(&written, opcode);
    assert_eq!(echoes.len() as u64, ending.sent);
    check(&[messages.0, messages.1], &echoes, takeover, window);
});

/// The compressed messages among a server's frames.
fn echoes(mut written: &[u8], opcode: u8) -> Vec<&[u8]> {
    let mut echoes = Vec::new();
    while let Some((frame, rest)) = split_frame(written) {
        match frame.header.first {
            CLOSE => assert!(rest.is_empty(), "Close is last"),
            first => {
                assert_eq!(first, FIN | RSV1 | opcode);
                echoes.push(frame.payload);
            }
        }
        written = rest;
    }
    assert!(written.is_empty(), "the last frame is whole");
    echoes
}

/// Checks that each echo decompresses to what zlib makes of the message.
fn check(messages: &[&[u8]], echoes: &[&[u8]], takeover: bool, window: Option<u8>) {
    let mut client = Inflate::new(false, window.unwrap_or(15));
    let mut server = Inflate::new(false, 15);
    // zlib forgets its window at a block with BFINAL; the session does not within a message.
    let mut is_known = true;
    assert!(echoes.len() <= messages.len());
    for (message, echo) in messages.iter().zip(echoes) {
        let (echo, is_last) = inflate(&mut client, echo);
        assert!(!is_last && echo.len() <= LIMIT);
        // What has no byte is empty. zlib would wait for the end of a block.
        let (expected, is_last) = match message.is_empty() {
            true => (Vec::new(), false),
            false => inflate(&mut server, message),
        };
        is_known &= !is_last;
        if is_known {
            assert!(
                echo == expected,
                "{} bytes, not {}",
                echo.len(),
                expected.len()
            );
        }
        if !takeover {
            client = Inflate::new(false, window.unwrap_or(15));
            server.reset(false);
            is_known = true;
        }
    }
}

/// Message that zlib makes of compressed bytes, and whether there was a block with BFINAL.
fn inflate(inflate: &mut Inflate, message: &[u8]) -> (Vec<u8>, bool) {
    let input = [message, &FLUSHED].concat();
    let mut out = vec![0; LIMIT + 1];
    let before = inflate.total_out();
    let status = inflate.decompress(&input, &mut out, InflateFlush::SyncFlush);
    let status = status.expect("the session has taken it");
    out.truncate((inflate.total_out() - before) as usize);
    (out, status == Status::StreamEnd)
}
