//! Unix domain sockets as a user writes them: `unix:PATH?mode=0660&group=NAME`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use super::AddressError;

/// Prefix before the path.
const PREFIX: &str = "unix:";

/// Characters of a path that are percent-encoded. The comma is among them because it separates
/// addresses in a list.
const SPECIAL: &AsciiSet = &CONTROLS.add(b'%').add(b'?').add(b',');

/// A Unix domain socket to listen on: its file, and who may connect to it.
///
/// In text it is `unix:PATH`, with `?mode=0660`, `?group=NAME` or `?mode=0660&group=NAME` behind
/// it. A question mark of the path itself is written `%3F`, a percent sign `%25`, a comma `%2C`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnixAddress {
    /// The path of the socket's file.
    pub path: PathBuf,
    /// Permissions of the file: clients need write permission to connect. `None` leaves them to the
    /// process's umask.
    pub mode: Option<u32>,
    /// The name or the number of the file's group, looked up when the server binds; `None`: that of
    /// the process.
    pub group: Option<String>,
}

impl From<PathBuf> for UnixAddress {
    fn from(path: PathBuf) -> Self {
        Self {
            path,
            mode: None,
            group: None,
        }
    }
}

/// The part of `text` after `unix:`, if it begins with that.
pub(crate) fn after_prefix(text: &str) -> Option<&str> {
    text.strip_prefix(PREFIX)
}

/// A path as it is shown and read: `unix:` and the path, whose special characters are escaped.
pub(crate) struct Written<'a>(pub(crate) &'a Path);

impl fmt::Display for Written<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.0.to_string_lossy();
        write!(f, "{PREFIX}{}", utf8_percent_encode(&path, SPECIAL))
    }
}

/// Parses a path as [`Written`] shows it.
pub(crate) fn parse_path(text: &str) -> Result<PathBuf, AddressError> {
    match percent_decode_str(text).decode_utf8() {
        Ok(path) if path.is_empty() => Err(AddressError::NoPath),
        Ok(path) if !path.contains('\0') => Ok(path.into_owned().into()),
        _ => Err(AddressError::BadPath),
    }
}

/// Reads the text after `unix:`.
impl FromStr for UnixAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (path, access) = match text.split_once('?') {
            Some((path, access)) => (path, Some(access)),
            None => (text, None),
        };
        let mut address = Self::from(parse_path(path)?);
        for part in access.into_iter().flat_map(|access| access.split('&')) {
            address.admit(part)?;
        }
        Ok(address)
    }
}

impl UnixAddress {
    /// Sets the mode or the group from one of the parts after the question mark.
    fn admit(&mut self, part: &str) -> Result<(), AddressError> {
        match part.split_once('=') {
            Some(("mode", mode)) if self.mode.is_none() => self.mode = Some(parse_mode(mode)?),
            Some(("group", group)) if self.group.is_none() && !group.is_empty() => {
                self.group = Some(group.to_owned());
            }
            _ => return Err(AddressError::BadAccess),
        }
        Ok(())
    }
}

/// Permissions as `chmod` has them, in digits: `0660` or `660`.
fn parse_mode(text: &str) -> Result<u32, AddressError> {
    let digits = text.strip_prefix('0').unwrap_or(text);
    let is_octal = digits.len() == 3 && digits.bytes().all(|digit| matches!(digit, b'0'..=b'7'));
    match u32::from_str_radix(digits, 8) {
        Ok(mode) if is_octal => Ok(mode),
        _ => Err(AddressError::BadMode),
    }
}

impl fmt::Display for UnixAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Written(&self.path).fmt(f)?;
        if let Some(mode) = self.mode {
            write!(f, "?mode={mode:04o}")?;
        }
        if let Some(group) = &self.group {
            let mark = if self.mode.is_some() { '&' } else { '?' };
            write!(f, "{mark}group={group}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<UnixAddress, AddressError> {
        after_prefix(text).expect("it begins with unix:").parse()
    }

    #[test]
    fn the_mode_and_the_group_follow_a_question_mark() {
        for (text, mode, group) in [
            ("unix:a.sock", None, None),
            ("unix:a.sock?mode=0660", Some(0o660), None),
            ("unix:a.sock?mode=0000", Some(0), None),
            ("unix:a.sock?group=www-data", None, Some("www-data")),
            ("unix:a.sock?mode=0777&group=33", Some(0o777), Some("33")),
        ] {
            let address = parse(text).unwrap();
            assert_eq!(address.path, Path::new("a.sock"), "{text}");
            assert_eq!(address.mode, mode, "{text}");
            assert_eq!(address.group.as_deref(), group, "{text}");
            assert_eq!(address.to_string(), text);
        }
        let turned = parse("unix:a.sock?group=33&mode=660").unwrap();
        assert_eq!(turned.to_string(), "unix:a.sock?mode=0660&group=33");
    }

    #[test]
    fn special_characters_of_a_path_are_escaped() {
        for (text, path) in [
            ("unix:/run/what%3F.sock", "/run/what?.sock"),
            ("unix:/run/100%25.sock", "/run/100%.sock"),
            ("unix:/run/a%2Cb.sock", "/run/a,b.sock"),
            ("unix:/run/grün und blau.sock", "/run/grün und blau.sock"),
        ] {
            let address = parse(text).unwrap();
            assert_eq!(address.path, Path::new(path));
            let written = address.to_string();
            assert_eq!(parse(&written), Ok(address), "{text} shown as {written}");
        }
        // A percent sign that begins no escape stands for itself.
        assert_eq!(
            parse("unix:100%.sock").unwrap().path,
            Path::new("100%.sock")
        );
    }

    #[test]
    fn what_is_neither_a_mode_nor_a_group_is_refused() {
        for (text, error) in [
            ("unix:", AddressError::NoPath),
            ("unix:?mode=0660", AddressError::NoPath),
            ("unix:a%00b", AddressError::BadPath),
            ("unix:a%FFb", AddressError::BadPath),
            ("unix:a?", AddressError::BadAccess),
            ("unix:a?b", AddressError::BadAccess),
            ("unix:a?mod=0660", AddressError::BadAccess),
            ("unix:a?mode=0660&", AddressError::BadAccess),
            ("unix:a?mode=0660&mode=0666", AddressError::BadAccess),
            ("unix:a?group=", AddressError::BadAccess),
            ("unix:a?mode=", AddressError::BadMode),
            ("unix:a?mode=66", AddressError::BadMode),
            ("unix:a?mode=0o660", AddressError::BadMode),
            ("unix:a?mode=0680", AddressError::BadMode),
            ("unix:a?mode=4755", AddressError::BadMode),
            ("unix:a?mode=+66", AddressError::BadMode),
            ("unix:a?mode=rw-rw----", AddressError::BadMode),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
    }
}
