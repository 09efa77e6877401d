//! Where a chunked body ends (RFC 9112, section 7.1): hyper reads what is in it, and says what may be
//! wrong with it.

/// How far a chunked body has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Chunks {
    /// Before a digit of a chunk's size, of which this much was read.
    #[default]
    Begin,
    Size(u64),
    /// Behind the size, in the rest of its line.
    Line(u64),
    /// So many bytes before the next size, the line's end behind the chunk among them.
    Data(u64),
    /// In the trailer, at the begin of a line or not.
    Trailer {
        is_line_empty: bool,
    },
    /// Behind the end.
    Over,
    /// In what is no chunked body: all that follows is for hyper to refuse.
    Broken,
}

/// What follows the data of a chunk.
const LINE_END: u64 = 2;

impl Chunks {
    pub(super) fn is_over(&self) -> bool {
        *self == Self::Over
    }

    /// How many of `bytes`, which come next, belong to the body.
    pub(super) fn advance(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while taken < bytes.len() && !self.is_over() {
            match self {
                Self::Broken => return bytes.len(),
                Self::Data(left) => {
                    let rest = bytes.len() - taken;
                    let data = rest.min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= data as u64;
                    taken += data;
                    if *left == 0 {
                        *self = Self::Begin;
                    }
                }
                _ => {
                    *self = self.next(bytes[taken]);
                    taken += 1;
                }
            }
        }
        taken
    }

    /// The state behind a byte that is not data.
    fn next(&self, byte: u8) -> Self {
        let digit = (byte as char).to_digit(16).map(u64::from);
        match (self, digit, byte) {
            (Self::Begin, Some(digit), _) => Self::Size(digit),
            (Self::Size(size), Some(digit), _) if *size < 1 << 59 => Self::Size(size << 4 | digit),
            (Self::Size(size) | Self::Line(size), _, b'\n') => match size {
                0 => Self::Trailer {
                    is_line_empty: true,
                },
                size => Self::Data(size + LINE_END),
            },
            (Self::Size(size), None, _) | (Self::Line(size), ..) => Self::Line(*size),
            (
                Self::Trailer {
                    is_line_empty: true,
                },
                _,
                b'\n',
            ) => Self::Over,
            (Self::Trailer { is_line_empty }, ..) => Self::Trailer {
                is_line_empty: byte == b'\n' || *is_line_empty && byte == b'\r',
            },
            _ => Self::Broken,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of these bytes belong to the body, when they come in pieces of this size.
    fn length(bytes: &[u8], piece: usize) -> Option<usize> {
        let mut chunks = Chunks::default();
        let taken = bytes.chunks(piece).map(|piece| chunks.advance(piece)).sum();
        chunks.is_over().then_some(taken)
    }

    #[test]
    fn a_body_ends_where_it_ends_in_pieces_of_any_size() {
        for body in [
            "0\r\n\r\n",
            "2\r\n{}\r\n0\r\n\r\n",
            "00a;x=\"y\"\r\n0\r\n\r\n0\r\n\r\n\r\n0\r\nTrailer: x\r\nB: y\r\n\r\n",
            "1F\r\n0123456789012345678901234567890\r\n000;z\r\n\r\n",
        ] {
            let bytes = [body, "GET / HTTP/1.1\r\n\r\n"].concat();
            for piece in 1..bytes.len() {
                assert_eq!(
                    length(bytes.as_bytes(), piece),
                    Some(body.len()),
                    "{body:?}"
                );
            }
        }
    }

    #[test]
    fn what_is_no_chunked_body_has_no_end() {
        for body in ["x\r\n", "\r\n", "-1\r\n", "ffffffffffffffff0\r\n"] {
            let bytes = [body, "0\r\n\r\n0\r\n\r\n"].concat();
            assert_eq!(length(bytes.as_bytes(), 1), None, "{body:?}");
        }
    }
}
