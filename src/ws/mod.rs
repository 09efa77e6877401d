//! WebSocket's own terms (RFC 6455): frames, subprotocols, and the ways in which a session ends.

pub(crate) mod close;
pub(crate) mod frames;
pub(crate) mod subprotocol;
