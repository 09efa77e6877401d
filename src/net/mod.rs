//! Sockets: their addresses, listening for connections, and the streams that come of it.
//!
//! | room | purpose |
//! |---|---|
//! | [`address`] | addresses to listen on, as users write them |
//! | [`listener`] | listening sockets, which survive errors of `accept` |
//! | [`connection_info`] | the peer of a connection and its protocols; the span of its log lines |
//! | [`stream`] | accepted sockets, and what wraps them |
//! | [`transport`] | the trait of all streams that a session or a tunnel can use |
//! | [`linger`] | the orderly end of a connection |

pub(crate) mod address;
pub(crate) mod connection_info;
pub(crate) mod linger;
pub(crate) mod listener;
pub(crate) mod stream;
pub(crate) mod transport;
