//! Parameters of a query, each at most once.

use std::time::Duration;

use form_urlencoded::parse;
use percent_encoding::percent_decode_str;

use super::bad_request;
use crate::http::Refusal;

/// The longest wait.
const MAX_WAIT: Duration = Duration::from_secs(3600);

/// The most that an answer lists.
const MAX_LIMIT: usize = 1000;

/// The largest number: up to it, a JSON number is exact for everybody (RFC 8259, section 6).
const MAX_NUMBER: u64 = (1 << 53) - 1;

/// Parameters that were given.
#[derive(Debug)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// The parameters of a query, all of which must be among those that are `known`.
    pub(super) fn parse(query: &str, known: &[&str]) -> Result<Self, Refusal> {
        if percent_decode_str(query).decode_utf8().is_err() {
            return Err(bad_request("The query must be UTF-8, percent-encoded."));
        }
        let mut given: Vec<(String, String)> = Vec::new();
        for (name, value) in parse(query.as_bytes()) {
            if !known.contains(&&*name) {
                let others = match known {
                    [] => "nor any other parameter".to_owned(),
                    _ => format!("but {}", known.join(", ")),
                };
                let sentence = format!("There is no {name:?} here, {others}.");
                return Err(bad_request(sentence));
            }
            if given.iter().any(|(earlier, _)| *earlier == name) {
                return Err(bad_request(format!(
                    "There must be one {name}, not several."
                )));
            }
            given.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self(given))
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let mut given = self.0.iter();
        let found = given.find(|(given, _)| given == name);
        found.map(|(_, value)| value.as_str())
    }

    /// A number.
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, Refusal> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        match text.parse() {
            Ok(number) if number <= MAX_NUMBER && !text.starts_with('+') => Ok(Some(number)),
            _ => {
                let sentence = format!("Write {name} as a number of up to {MAX_NUMBER}.");
                Err(bad_request(sentence))
            }
        }
    }

    /// The most that the answer is to list.
    pub(super) fn limit(&self) -> Result<usize, Refusal> {
        let Some(text) = self.text("limit") else {
            return Ok(MAX_LIMIT);
        };
        let limit = text.parse().ok();
        let limit = limit.filter(|limit| (1..=MAX_LIMIT).contains(limit) && !text.starts_with('+'));
        limit.ok_or_else(|| bad_request(format!("A limit is a number from 1 to {MAX_LIMIT}.")))
    }

    /// One of several words.
    pub(super) fn word<T: Copy>(
        &self,
        name: &str,
        words: &[(&str, T)],
    ) -> Result<Option<T>, Refusal> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        match words.iter().find(|(word, _)| *word == text) {
            Some((_, meaning)) => Ok(Some(*meaning)),
            None => {
                let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
                let words = words.join(", ");
                Err(bad_request(format!("{name} is one of: {words}.")))
            }
        }
    }

    /// The time to wait.
    pub(super) fn wait(&self) -> Result<Option<Duration>, Refusal> {
        let Some(text) = self.text("wait") else {
            return Ok(None);
        };
        match humantime::parse_duration(text) {
            Ok(wait) if wait <= MAX_WAIT => Ok(Some(wait)),
            _ => Err(bad_request(
                "Write wait as 500ms, 5s or 2m, and at most 1h.",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(query: &str) -> Result<Query, u16> {
        Query::parse(query, &["after", "wait", "kind"]).map_err(|refusal| refusal.status.as_u16())
    }

    #[test]
    fn parameters_are_read() {
        let given = query("after=7&wait=5s&kind=b").unwrap();
        assert_eq!(given.number("after").unwrap(), Some(7));
        assert_eq!(given.wait().unwrap(), Some(Duration::from_secs(5)));
        assert_eq!(given.word("kind", &[("a", 1), ("b", 2)]).unwrap(), Some(2));
        let given = query("after=-1&wait=5d&kind=c").unwrap();
        assert!(given.number("after").is_err() && given.wait().is_err());
        assert!(given.word("kind", &[("a", 1)]).is_err());
        assert_eq!(query("").unwrap().wait().unwrap(), None);
        for wrong in ["9007199254740992", "%2B1", "1.0", "+1", "-1", "%00", ""] {
            let given = query(&format!("after={wrong}")).unwrap();
            assert!(given.number("after").is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_limit_has_bounds() {
        let limit = |text: &str| {
            let query = Query::parse(text, &["limit"]).unwrap();
            query.limit().map_err(|refusal| refusal.status.as_u16())
        };
        assert_eq!(limit(""), Ok(1000));
        assert_eq!((limit("limit=1"), limit("limit=1000")), (Ok(1), Ok(1000)));
        for wrong in ["0", "1001", "-1", "%2B1", "many", ""] {
            assert_eq!(limit(&format!("limit={wrong}")), Err(400), "{wrong}");
        }
    }

    #[test]
    fn a_query_that_is_no_text_is_refused() {
        for wrong in ["kind=%ff", "%ff=1", "kind=caf%E9", "kind=%c3&after=%a9"] {
            assert_eq!(query(wrong).err(), Some(400), "{wrong}");
        }
        assert_eq!(
            query("kind=caf%C3%A9+%").unwrap().text("kind"),
            Some("caf\u{e9} %")
        );
    }

    #[test]
    fn parameters_that_nobody_knows_are_refused() {
        assert_eq!(query("watt=5s").err(), Some(400));
        assert_eq!(query("after=1&after=2").err(), Some(400));
    }
}
