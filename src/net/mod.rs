//! Sockets: their addresses, listening for connections, and the streams that come of it.
//!
//! | room | purpose |
//! |---|---|
//! | [`address`] | addresses to listen on, as users write them |
//! | [`listener`] | listening sockets, which survive errors of `accept` |
//! | [`connection_info`] | who connected, and how; the span of a connection's log lines |
//! | [`stream`] | accepted sockets, and what wraps them |
//! | [`transport`] | what a session needs of a stream beside its bytes |
//! | [`linger`] | the orderly end of a connection |

pub(crate) mod address;
pub(crate) mod connection_info;
pub(crate) mod linger;
pub(crate) mod listener;
pub(crate) mod stream;
pub(crate) mod transport;
