//! Settings of the HTTP API, and of what it keeps in memory.

/// Settings of the HTTP API, which shows connections and their messages, and pushes to them.
///
/// All that is kept for it is bounded, and what falls out of memory is counted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ApiConfig {
    /// Closed connections that can still be asked about.
    pub keep_closed: usize,
    /// Messages that are kept for each connection.
    pub keep_messages: usize,
    /// Bytes of messages that are kept for each connection.
    pub keep_bytes: usize,
    /// Bytes of messages that are kept in all.
    pub memory: usize,
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self {
            keep_closed: 1000,
            keep_messages: 1000,
            keep_bytes: 1 << 20,
            memory: 64 << 20,
        }
    }
}
