//! Interim responses (RFC 9110, section 15.2), such as 100, 102 and 103: an upstream sends them
//! before its answer, and the proxy passes them on to the client.

mod stream;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hyper::header::{CONTENT_LENGTH, HeaderMap};
use hyper::{Request, Response, Version};
use tokio::sync::Notify;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use super::headers;
use super::hop::Hop;

pub(super) use stream::{InterimStream, Interims};

/// Most interim responses before one answer.
const MAX: usize = 100;

/// Most bytes of their headers.
const MAX_BYTES: usize = 64 << 10;

/// An interim response.
pub(super) type Interim = Response<()>;

/// Channel for the interim responses to one request. It has room for as many as may come.
pub(super) fn channel() -> (Sender, UnboundedReceiver<Interim>) {
    let (interims, receiver) = mpsc::unbounded_channel();
    let sender = Sender(Arc::new(Shared {
        interims,
        count: AtomicUsize::new(0),
        bytes: AtomicUsize::new(0),
        is_flooded: Notify::new(),
    }));
    (sender, receiver)
}

/// Sending end of the channel for an upstream's interim responses.
#[derive(Clone)]
pub(super) struct Sender(Arc<Shared>);

struct Shared {
    interims: UnboundedSender<Interim>,
    count: AtomicUsize,
    bytes: AtomicUsize,
    is_flooded: Notify,
}

impl Sender {
    /// Makes `request` pass on the interim responses that come before its answer.
    pub(super) fn attach<B>(&self, request: &mut Request<B>, hop: &Arc<Hop>) {
        let (sender, hop) = (self.clone(), Arc::clone(hop));
        hyper::ext::on_informational(request, move |head| {
            if !sender.has_room(head.headers()) {
                return;
            }
            let mut interim = Interim::default();
            *interim.status_mut() = head.status();
            *interim.headers_mut() = head.headers().clone();
            let (version, headers) = (head.version(), interim.headers_mut());
            headers::forward_response(head.status(), version, headers, &hop);
            // It has no body (RFC 9110, section 8.6).
            headers.remove(CONTENT_LENGTH);
            // Nobody waits for it once the client has gone.
            let _ = sender.0.interims.send(interim);
        });
    }

    /// Waits until the upstream has sent more interim responses than the limits allow.
    pub(super) async fn flooded(&self) {
        self.0.is_flooded.notified().await;
    }

    fn has_room(&self, headers: &HeaderMap) -> bool {
        let lines = headers.iter();
        let size = lines.map(|(name, value)| name.as_str().len() + value.len());
        let size = size.sum();
        let count = self.0.count.fetch_add(1, Ordering::Relaxed) + 1;
        let bytes = self.0.bytes.fetch_add(size, Ordering::Relaxed) + size;
        let has_room = count <= MAX && bytes <= MAX_BYTES;
        if !has_room {
            self.0.is_flooded.notify_one();
        }
        has_room
    }
}

/// Whether a client of this version may be sent interim responses (RFC 9110, section 15.2).
pub(super) fn are_for(version: Version) -> bool {
    version >= Version::HTTP_11
}

/// Encodes the head of an interim response as it is on the wire.
fn encode(interim: &Interim) -> Vec<u8> {
    let status = interim.status();
    let reason = status.canonical_reason().unwrap_or_default();
    let mut head = format!("HTTP/1.1 {} {reason}\r\n", status.as_u16()).into_bytes();
    for (name, value) in interim.headers() {
        head.extend(title_case(name.as_str()));
        head.extend(b": ");
        head.extend(value.as_bytes());
        head.extend(b"\r\n");
    }
    head.extend(b"\r\n");
    head
}

/// Spells a name in title case, because hyper does not say how it was spelled.
fn title_case(name: &str) -> impl Iterator<Item = u8> {
    let befores = std::iter::once(b'-').chain(name.bytes());
    let letters = name.bytes().zip(befores);
    letters.map(|(letter, before)| match before {
        b'-' => letter.to_ascii_uppercase(),
        _ => letter,
    })
}

#[cfg(test)]
mod tests {
    use hyper::StatusCode;

    use super::*;

    #[test]
    fn a_head_is_written_as_usual() {
        let mut interim = Interim::default();
        *interim.status_mut() = StatusCode::EARLY_HINTS;
        let headers = interim.headers_mut();
        headers.insert("x-a--b", "c".parse().unwrap());
        assert_eq!(
            String::from_utf8(encode(&interim)).unwrap(),
            "HTTP/1.1 103 Early Hints\r\nX-A--B: c\r\n\r\n"
        );
    }

    #[tokio::test]
    async fn there_may_be_a_hundred_or_64_kib_of_them() {
        let (sender, _receiver) = channel();
        let headers = HeaderMap::new();
        assert!((0..MAX).all(|_| sender.has_room(&headers)));
        assert!(!sender.has_room(&headers));
        sender.flooded().await;

        let (sender, _receiver) = channel();
        let mut headers = HeaderMap::new();
        headers.insert("a", "b".repeat(40 << 10).parse().unwrap());
        assert!(sender.has_room(&headers) && !sender.has_room(&headers));
        sender.flooded().await;
    }
}
