//! Checks whether text that comes in pieces is UTF-8 (RFC 6455, section 8.1).

/// Whether the part of a text that has come is UTF-8, but for the character at its end if there is
/// more to come. All but the first `before` bytes are new: a long message is checked piece by
/// piece, while it is in the cache.
pub(super) fn is_utf8(text: &[u8], before: usize, is_whole: bool) -> bool {
    let start = match before {
        0 => 0,
        _ => before - unfinished(&text[..before]),
    };
    let end = match is_whole {
        true => text.len(),
        false => text.len() - unfinished(text),
    };
    let is_utf8 = simdutf8::basic::from_utf8(&text[start..end]).is_ok();
    is_utf8 && (is_whole || may_become_utf8(&text[end..]))
}

/// Whether these bytes are UTF-8, or could be with more bytes after them.
fn may_become_utf8(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes)
        .err()
        .is_none_or(|error| error.error_len().is_none())
}

/// Number of bytes at the end of a text that are an incomplete character: at most 3.
fn unfinished(text: &[u8]) -> usize {
    let is_continuation = |byte: &&u8| **byte & 0xc0 == 0x80;
    let last = text.iter().rev();
    let came = 1 + last.clone().take(3).take_while(is_continuation).count();
    let size = match last.clone().nth(came - 1) {
        Some(0xc0..=0xdf) => 2,
        Some(0xe0..=0xef) => 3,
        Some(0xf0..) => 4,
        _ => 0,
    };
    if came < size { came } else { 0 }
}

/// Checker of a text of which no more than the next piece is at hand.
#[derive(Debug, Default)]
pub(super) struct Utf8Checker {
    /// Bytes of an incomplete character at the end of the pieces so far.
    begun: [u8; 3],
    /// Number of these bytes.
    count: usize,
}

impl Utf8Checker {
    /// Takes the next piece, and returns whether the text may be UTF-8 yet.
    pub(super) fn push(&mut self, piece: &[u8]) -> bool {
        let (begun, count) = (self.begun, self.count);
        // A character has at most 4 bytes: those that have come, and 3 more.
        let (first, rest) = piece.split_at(piece.len().min(3));
        let mut joint = [0; 6];
        joint[..count].copy_from_slice(&begun[..count]);
        joint[count..count + first.len()].copy_from_slice(first);
        let joint = &joint[..count + first.len()];
        if rest.is_empty() {
            return self.check(joint);
        }
        // What the joint leaves unfinished is at the start of the piece, where it is checked again.
        let left = unfinished(joint);
        let is_good = simdutf8::basic::from_utf8(&joint[..joint.len() - left]).is_ok();
        is_good && self.check(&piece[3 - left..])
    }

    /// Checks bytes that begin with a character, and keeps one that is incomplete at their end.
    fn check(&mut self, bytes: &[u8]) -> bool {
        self.count = unfinished(bytes);
        let (whole, begun) = bytes.split_at(bytes.len() - self.count);
        self.begun[..self.count].copy_from_slice(begun);
        simdutf8::basic::from_utf8(whole).is_ok() && may_become_utf8(begun)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// The length of the longest part of `bytes` that may become UTF-8.
    fn good_part(bytes: &[u8]) -> usize {
        (0..=bytes.len())
            .rev()
            .find(|end| may_become_utf8(&bytes[..*end]))
            .unwrap_or(0)
    }

    proptest! {
        #[test]
        fn a_text_is_refused_in_the_piece_in_which_it_goes_wrong(
            text in "\\PC{0,12}",
            noise in vec(prop_oneof![any::<u8>(), 0x80..0xc0_u8, 0xe0..0xff_u8], 0..5),
            more in "\\PC{0,12}",
            sizes in vec(0..6_usize, 1..8),
        ) {
            let bytes = [text.as_bytes(), &noise, more.as_bytes()].concat();
            let good = good_part(&bytes);
            let mut checker = Utf8Checker::default();
            let mut at = 0;
            for size in sizes.into_iter().chain([1]).cycle().take(100) {
                let end = bytes.len().min(at + size);
                prop_assert_eq!(checker.push(&bytes[at..end]), end <= good, "{}..{}", at, end);
                prop_assert_eq!(is_utf8(&bytes[..end], at, false), end <= good);
                if end > good || end == bytes.len() {
                    break;
                }
                at = end;
            }
        }
    }
}
