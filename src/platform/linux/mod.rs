//! Linux: the best ways to begin and end connections.

mod accept;
#[cfg(feature = "jemalloc")]
pub mod allocator;
mod ending;

pub(crate) use accept::TcpAcceptor;
pub(crate) use ending::{linger_at_most, try_write_last};
