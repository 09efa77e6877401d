//! Linux: the resources that this process uses, and the best ways to begin and end connections.

mod accept;
#[cfg(feature = "jemalloc")]
pub mod allocator;
mod ending;
#[cfg(feature = "metrics")]
mod usage;

pub(crate) use accept::TcpAcceptor;
pub(crate) use ending::{linger_at_most, try_write_last};
#[cfg(feature = "metrics")]
pub(crate) use usage::usage;
