//! Terms of WebSocket (RFC 6455): frames, subprotocols, compression, and the ends of sessions.

pub(crate) mod close;
pub(crate) mod deflate;
pub(crate) mod frames;
pub(crate) mod subprotocol;
