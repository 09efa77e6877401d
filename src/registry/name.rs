//! Names of connections and topics, as the query of an upgrade chooses them.

/// The longest name, in bytes.
const MAX_NAME: usize = 128;

/// Rules for a name, which it breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NameError {
    #[error("has 1 to {MAX_NAME} bytes of UTF-8, and no control characters")]
    Text,
    #[error("has no space at its ends")]
    Space,
}

/// Checks a name. Bytes that are not UTF-8 were replaced when the query was parsed, by which two
/// names could become one. A header, which the name of a connection is sent in, has no space at its
/// ends (RFC 9110, section 5.5).
///
/// # Errors
/// The rule that the name breaks.
pub(crate) fn check(name: &str) -> Result<(), NameError> {
    let is_wrong = |c: char| c.is_control() || c == char::REPLACEMENT_CHARACTER;
    match (1..=MAX_NAME).contains(&name.len()) && !name.contains(is_wrong) {
        false => Err(NameError::Text),
        true if name.trim() != name => Err(NameError::Space),
        true => Ok(()),
    }
}
