//! Sockets: their addresses, listening for connections, and the streams that come of it.

pub(crate) mod address;
pub(crate) mod linger;
pub(crate) mod listen;
pub(crate) mod wire;
