//! Refusals of requests.

use std::borrow::Cow;

use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue, RETRY_AFTER};

/// A refusal of a request: a status, a sentence for its reader, and the headers that go with the
/// status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) sentence: Cow<'static, str>,
    /// More text for the reader, which would be too much for the log.
    pub(crate) advice: Option<String>,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, sentence: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            sentence: sentence.into(),
            advice: None,
            headers: Vec::new(),
        }
    }

    /// Refusal with 503, of a client that may try again soon.
    pub(crate) fn unavailable(sentence: &'static str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, sentence).with(RETRY_AFTER, "5")
    }

    /// Refusal of a head that is too large.
    pub(crate) fn head_too_large() -> Self {
        Self::new(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "A request may have 64 header lines and 16 KiB of head; this one has more.",
        )
    }

    pub(crate) fn with(mut self, name: HeaderName, value: &'static str) -> Self {
        self.headers.push((name, HeaderValue::from_static(value)));
        self
    }
}
