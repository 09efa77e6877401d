//! The parameters of permessage-deflate (RFC 7692) on which both sides agreed.

use std::fmt;
use std::num::NonZero;

/// Name of the extension.
pub(crate) const NAME: &str = "permessage-deflate";

/// An extension that no client offers any more.
pub(crate) const OBSOLETE: &str = "x-webkit-deflate-frame";

/// Bits of the smallest window that our compressor may have. zlib writes no raw deflate with fewer.
pub(crate) const MIN_WINDOW: u8 = 9;

/// Bits of the largest window, which holds where none is named.
pub(crate) const MAX_WINDOW: u8 = 15;

/// Agreed parameters of permessage-deflate. They take four bytes, for every session has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PermessageDeflate {
    /// Whether our compressor keeps its window from one message to the next.
    pub(crate) server_takeover: bool,
    /// Whether the client's compressor does.
    pub(crate) client_takeover: bool,
    /// Bits of our compressor's window, if they are named: 9 to 15.
    pub(crate) server_window: Option<NonZero<u8>>,
    /// Bits of the client's, if they are named: 8 to 15.
    pub(crate) client_window: Option<NonZero<u8>>,
}

/// The value of the header `Sec-WebSocket-Extensions` that says so.
impl fmt::Display for PermessageDeflate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAME)?;
        if !self.server_takeover {
            f.write_str("; server_no_context_takeover")?;
        }
        if !self.client_takeover {
            f.write_str("; client_no_context_takeover")?;
        }
        if let Some(bits) = self.server_window {
            write!(f, "; server_max_window_bits={bits}")?;
        }
        if let Some(bits) = self.client_window {
            write!(f, "; client_max_window_bits={bits}")?;
        }
        Ok(())
    }
}
