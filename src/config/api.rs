//! Settings of the HTTP API, and of what it keeps in memory.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::str::FromStr;
use std::time::Duration;

use super::{ProxyConfig, ServerConfig, SettingError};
use crate::net::address::Address;

/// Settings of the HTTP API, which shows connections and their messages, and pushes to them.
///
/// All that is kept for it is bounded, and what falls out of memory is counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiConfig {
    /// Addresses of its own, where there are no WebSockets; empty: it is served on every address of
    /// the server.
    pub listen: Vec<Address>,
    /// Token that every request must have; `None`: requests need none, but pages of other origins
    /// are refused.
    pub token: Option<ApiToken>,
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
            listen: Vec::new(),
            token: None,
            keep_closed: 1000,
            keep_messages: 1000,
            keep_bytes: 1 << 20,
            memory: 64 << 20,
        }
    }
}

/// Settings that the API of a server or of a proxy follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiSettings {
    pub(crate) api: ApiConfig,
    /// Addresses of WebSockets.
    pub(crate) listen: Vec<Address>,
    /// Whether HTTP/2 is spoken without TLS.
    pub(crate) h2c: bool,
    /// Bytes of the largest message that can be pushed.
    pub(crate) max_message_size: usize,
    /// Time from accept, or from the last answer, until a request has arrived whole.
    pub(crate) handshake_timeout: Duration,
    /// Longest time for which a client may take nothing of its answer.
    pub(crate) send_timeout: Duration,
    /// Whether connections have an upstream, which messages can be put in for.
    pub(crate) has_upstream: bool,
}

impl ApiSettings {
    /// The settings of a server that is to have an API.
    pub(crate) fn of_server(config: &ServerConfig) -> Option<Self> {
        Some(Self {
            api: config.api.clone()?,
            listen: config.listen.clone(),
            h2c: config.h2c,
            max_message_size: config.max_message_size,
            handshake_timeout: config.handshake_timeout,
            send_timeout: config.send_timeout,
            has_upstream: false,
        })
    }

    /// The settings of a proxy that is to have one.
    pub(crate) fn of_proxy(config: &ProxyConfig) -> Option<Self> {
        Some(Self {
            api: config.api.clone()?,
            listen: config.listen.clone(),
            h2c: config.h2c,
            max_message_size: ServerConfig::default().max_message_size,
            handshake_timeout: config.handshake_timeout,
            send_timeout: config.send_timeout,
            has_upstream: true,
        })
    }
}

/// A token that requests to the API must have, in `Authorization: Bearer`.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiToken(String);

impl ApiToken {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `given` is this token. The time that this takes says nothing about the token.
    pub(crate) fn is(&self, given: &[u8]) -> bool {
        // Hashes with a random key: how far they agree says nothing about the token.
        let random = RandomState::new();
        let hash = |token: &[u8]| random.hash_one(token);
        hash(self.0.as_bytes()) == hash(given) && self.0.as_bytes() == given
    }
}

impl FromStr for ApiToken {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        match !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            true => Ok(Self(text.to_owned())),
            false => Err(SettingError::Token),
        }
    }
}

/// Hides the token, which must not come into a log.
impl fmt::Debug for ApiToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiToken(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_can_be_written_in_a_header_and_is_not_shown() {
        let token: ApiToken = "secret".parse().unwrap();
        assert!(token.is(b"secret") && !token.is(b"secreT") && !token.is(b""));
        assert_eq!(format!("{token:?}"), "ApiToken(..)");
        for bad in ["", "a b", "a\n", "\u{e9}"] {
            assert_eq!(bad.parse::<ApiToken>(), Err(SettingError::Token), "{bad:?}");
        }
    }
}
