//! TLS as a server. rustls performs the handshake, and says what the keys are; the records that
//! follow are read and written here, with rustls' ciphers.
//!
//! rustls' own connection reads 4 KiB at a time, copies what was in each record into memory of its
//! own and keeps its buffers. Here a record is opened where it was read, many come with one read and
//! go with one write, and an idle connection has no buffers: see `benches/README.md`.
//!
//! | room | purpose |
//! |---|---|
//! | [`handshake`] | the handshake, by rustls |
//! | [`hello`] | the ClientHello, read before the handshake |
//! | [`incoming`] | bytes that were read: records, and what was in them |
//! | [`outgoing`] | records that are to be written |
//! | [`protection`] | the keys, which open and seal records |
//! | [`stream`] | the stream after the handshake |

mod handshake;
mod hello;
mod incoming;
mod outgoing;
mod protection;
mod stream;
#[cfg(test)]
mod tests;

pub(super) use handshake::accept;
pub(super) use hello::read_hello;
pub(crate) use stream::ServerStream;
