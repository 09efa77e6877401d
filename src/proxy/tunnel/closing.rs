//! Test whether bytes end in a Close, so that the log can say who closed: nothing else depends on
//! it.

/// First byte of a Close: FIN, and the opcode (RFC 6455, section 5.5.1).
const CLOSE: u8 = 0x88;

/// Most bytes of a Close: a header, a mask, and a control frame's payload.
const LONGEST: usize = 2 + 4 + 125;

/// Whether the last frame that a side has sent is a Close, as far as the last bytes can tell.
pub(super) fn ends_in_close(sent: &[u8]) -> bool {
    let tail = &sent[sent.len().saturating_sub(LONGEST)..];
    let is_close = |frame: &[u8]| match *frame {
        [CLOSE, length, ..] => {
            let mask = if length & 0x80 == 0 { 0 } else { 4 };
            frame.len() == 2 + mask + usize::from(length & 0x7f)
        }
        _ => false,
    };
    (0..tail.len()).any(|start| is_close(&tail[start..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_close_is_known_by_its_length() {
        let longest = [&[0x88, 0xfd][..], &[0; 4 + 125]].concat();
        for sent in [
            &[0x88, 0][..],
            &[0x88, 2, 3, 0xe8],
            &[0x81, 1, b'a', 0x88, 0x82, 1, 2, 3, 4, 2, 0xea],
            &longest,
        ] {
            assert!(ends_in_close(sent), "{sent:x?}");
        }
        for sent in [
            &[][..],
            &[0x88],
            &[0x88, 2, 3],
            &[0x81, 2, 3, 0xe8],
            &[0x88, 0, 0x81, 1, b'a'],
        ] {
            assert!(!ends_in_close(sent), "{sent:x?}");
        }
    }
}
