//! permessage-deflate (RFC 7692) on the client's side, for messages that are whole.

use std::num::NonZero;

use zlib_rs::{Deflate, DeflateConfig, DeflateFlush, Inflate, InflateFlush, Status};

use crate::ws::deflate::{MAX_WINDOW, MIN_WINDOW, NAME, PermessageDeflate};

/// The offer that browsers make.
pub(super) const OFFER: &str = "permessage-deflate; client_max_window_bits";

/// End of an empty stored block, which senders remove (RFC 7692, section 7.2.1).
const FLUSHED: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// Bytes that come out of one call of zlib.
const PIECE: usize = 16 << 10;

/// The parameters of a server's answer to [`OFFER`].
///
/// # Errors
/// When it is no answer that a server may give.
pub(super) fn parse_answer(text: &str) -> Result<PermessageDeflate, String> {
    let mut agreed = PermessageDeflate {
        server_takeover: true,
        client_takeover: true,
        server_window: None,
        client_window: None,
    };
    let mut parts = text.split(';').map(str::trim);
    if parts.next() != Some(NAME) {
        return Err(format!("the extension {text:?} was not offered"));
    }
    for part in parts {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let value = value.trim().trim_matches('"');
        let bits = || {
            value
                .parse()
                .ok()
                .filter(|bits| (8..=MAX_WINDOW).contains(bits))
        };
        match (name.trim(), value) {
            ("server_no_context_takeover", "") => agreed.server_takeover = false,
            ("client_no_context_takeover", "") => agreed.client_takeover = false,
            ("server_max_window_bits", _) if bits().is_some() => {
                agreed.server_window = bits().and_then(NonZero::new);
            }
            ("client_max_window_bits", _) if bits().is_some() => {
                agreed.client_window = bits().and_then(NonZero::new);
            }
            _ => return Err(format!("the parameter {part:?} of {NAME} is not valid")),
        }
    }
    Ok(agreed)
}

/// Compresses a message, which refers to no other.
pub(super) fn compress(message: &[u8], agreed: PermessageDeflate) -> Option<Vec<u8>> {
    let bits = agreed.client_window.map_or(MAX_WINDOW, NonZero::get);
    let mut deflate = Deflate::new_with_config(DeflateConfig {
        level: 6,
        // A negative number stands for a raw stream. zlib has no window of 8 bits: a message whose
        // matches are nearer than that does not need one.
        window_bits: -i32::from(bits.max(MIN_WINDOW)),
        ..DeflateConfig::default()
    });
    let mut output = vec![0; message.len() + 64];
    let done = deflate.compress(message, &mut output, DeflateFlush::SyncFlush);
    done.ok()?;
    output.truncate(deflate.total_out() as usize);
    output.truncate(output.strip_suffix(&FLUSHED)?.len());
    Some(output)
}

/// Decompresses the messages of a session, which may refer to earlier ones.
pub(super) struct Inflater(Inflate);

impl Inflater {
    pub(super) fn new() -> Self {
        Self(Inflate::new(false, MAX_WINDOW))
    }

    /// Decompresses a message of at most `limit` bytes.
    ///
    /// # Errors
    /// When it is larger, or not compressed data.
    pub(super) fn inflate(
        &mut self,
        message: &[u8],
        limit: usize,
    ) -> Result<Vec<u8>, &'static str> {
        let mut output = Vec::new();
        for mut input in [message, &FLUSHED] {
            loop {
                let start = output.len();
                output.resize(start + PIECE, 0);
                let (taken, made) = (self.0.total_in(), self.0.total_out());
                let room = &mut output[start..];
                let status = self.0.decompress(input, room, InflateFlush::SyncFlush);
                let taken = (self.0.total_in() - taken) as usize;
                let made = (self.0.total_out() - made) as usize;
                output.truncate(start + made);
                input = &input[taken..];
                match status {
                    Err(_) => return Err("a compressed message cannot be decompressed"),
                    _ if output.len() > limit => return Err("a message inflates beyond any sent"),
                    // A block with BFINAL, after which another stream begins.
                    Ok(Status::StreamEnd) => self.0.reset(false),
                    Ok(_) => {}
                }
                if made < PIECE && (input.is_empty() || taken == 0) {
                    break;
                }
            }
        }
        Ok(output)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answers_that_a_server_may_give_are_understood() {
        let agreed = parse_answer("permessage-deflate").unwrap();
        assert!(agreed.server_takeover && agreed.client_takeover);
        let text = "permessage-deflate; server_no_context_takeover; client_max_window_bits=\"10\"";
        let agreed = parse_answer(text).unwrap();
        assert!(!agreed.server_takeover && agreed.client_takeover);
        assert_eq!(agreed.client_window, NonZero::new(10));
        for bad in [
            "x-webkit-deflate-frame",
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; unknown",
            "permessage-deflate, permessage-deflate",
        ] {
            assert!(parse_answer(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn messages_come_out_as_they_went_in() {
        let agreed = parse_answer("permessage-deflate; client_max_window_bits=9").unwrap();
        let mut inflater = Inflater::new();
        for message in [&b""[..], b"hello", &b"compress me ".repeat(5_000)] {
            let compressed = compress(message, agreed).unwrap();
            let inflated = inflater.inflate(&compressed, message.len());
            assert_eq!(inflated.as_deref(), Ok(message));
        }
        let large = compress(&[0; 100_000], agreed).unwrap();
        assert!(inflater.inflate(&large, 99_999).is_err());
        assert!(Inflater::new().inflate(&[0xff; 9], 9).is_err());
    }
}
