//! Subprotocols of WebSocket (RFC 6455, section 1.9).

use std::str::FromStr;

/// The name of a subprotocol: a token (RFC 9110, section 5.6.2). Case matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subprotocol(String);

impl Subprotocol {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Subprotocol {
    type Err = SubprotocolError;

    fn from_str(text: &str) -> Result<Self, SubprotocolError> {
        match is_token(text) {
            true => Ok(Self(text.to_owned())),
            false => Err(SubprotocolError),
        }
    }
}

/// Whether a text is a token (RFC 9110, section 5.6.2).
pub(crate) fn is_token(text: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    !text.is_empty() && text.chars().all(is_part)
}

/// Error of a text that is no name of a [`Subprotocol`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a subprotocol is a token: letters, digits and !#$%&'*+-.^_`|~")]
pub struct SubprotocolError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subprotocol_is_a_token() {
        for good in ["chat", "v1.chat", "!#$%&'*+-.^_`|~"] {
            assert!(good.parse::<Subprotocol>().is_ok(), "{good:?}");
        }
        for bad in ["", "a b", "a,b", "a;b", "grün", "a\r\n"] {
            assert!(bad.parse::<Subprotocol>().is_err(), "{bad:?}");
        }
    }
}
