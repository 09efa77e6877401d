//! End of a chunked body (RFC 9112, section 7.1). Nothing else is checked here: hyper reads the
//! body, and reports its errors.

/// Position within a chunked body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Chunks {
    /// Before the first digit of a chunk's size; `Size` has what was read of the size.
    #[default]
    Begin,
    Size(u64),
    /// After the size, in the rest of its line.
    Line(u64),
    /// Within a chunk, with this many bytes before the next size. The line end after the data is
    /// counted too.
    Data(u64),
    /// In the trailer, at the beginning of a line or not.
    Trailer {
        is_line_empty: bool,
    },
    /// After the end.
    Over,
    /// In bytes that are not a chunked body: hyper gets all bytes from here on, and refuses them.
    Broken,
}

/// Length of the line end after the data of a chunk.
const LINE_END: u64 = 2;

impl Chunks {
    pub(super) fn is_over(&self) -> bool {
        *self == Self::Over
    }

    /// Advances over `bytes`, the next on the stream, and returns how many of them belong to the
    /// body.
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

    /// The state after a byte that is not data.
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

    /// Length of the body that `bytes` begin with, when they come in pieces of `piece` bytes.
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
