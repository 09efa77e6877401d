//! The body of a request on its way to the upstream, and its progress.

use std::error::Error;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body, Bytes, Frame, SizeHint};

use super::headers;
use super::upstream::{BoxError, causes};

/// The body of a request. Clones share it, and each goes on where another stopped, so that it can
/// be sent again as long as nothing of it was read.
#[derive(Clone)]
pub(super) struct Upload(Arc<Shared>);

struct Shared {
    body: Mutex<UnsyncBoxBody<Bytes, BoxError>>,
    frames: AtomicU64,
    is_awaited: AtomicBool,
    is_over: AtomicBool,
}

/// Failure of a client to send the whole body.
#[derive(Debug, thiserror::Error)]
#[error("the request's body is broken")]
pub(super) struct Broken(#[source] BoxError);

impl Upload {
    pub(super) fn new<B>(body: B) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let is_over = body.is_end_stream();
        let tagged = body.map_err(|error| Broken(error.into()).into());
        Self(Arc::new(Shared {
            body: Mutex::new(tagged.boxed_unsync()),
            frames: AtomicU64::new(0),
            is_awaited: AtomicBool::new(false),
            is_over: AtomicBool::new(is_over),
        }))
    }

    /// Number of frames of the body that have been read.
    pub(super) fn frames(&self) -> u64 {
        self.0.frames.load(Ordering::Relaxed)
    }

    /// Whether more of the body is wanted than the client has sent.
    pub(super) fn is_awaited(&self) -> bool {
        self.0.is_awaited.load(Ordering::Relaxed)
    }

    /// Whether the body has been read to its end.
    pub(super) fn is_over(&self) -> bool {
        self.0.is_over.load(Ordering::Relaxed)
    }

    fn body(&self) -> MutexGuard<'_, UnsyncBoxBody<Bytes, BoxError>> {
        self.0.body.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut body = self.body();
        let shared = &self.0;
        shared.is_awaited.store(true, Ordering::Relaxed);
        let mut frame = ready!(Pin::new(&mut *body).poll_frame(cx));
        if let Some(Ok(frame)) = &mut frame
            && let Some(trailers) = frame.trailers_mut()
        {
            headers::forward_trailers(trailers);
        }
        shared.is_awaited.store(false, Ordering::Relaxed);
        shared.frames.fetch_add(1, Ordering::Relaxed);
        let is_last = match &frame {
            Some(Ok(frame)) => frame.is_trailers(),
            None | Some(Err(_)) => true,
        };
        let is_over = is_last || body.is_end_stream();
        shared.is_over.store(is_over, Ordering::Relaxed);
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body().size_hint()
    }
}

/// Message of the failure of a client's body that caused an error, if one did.
pub(super) fn broken_upload(error: &(dyn Error + 'static)) -> Option<String> {
    let mut causes = causes(error);
    causes.find(|cause| cause.is::<Broken>())?;
    causes.last().map(ToString::to_string)
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;

    use super::*;

    #[tokio::test]
    async fn a_body_can_be_had_again_until_it_is_read() {
        let mut first = Upload::new(Full::new(Bytes::from("all")));
        let mut again = first.clone();
        assert!(!again.is_over() && again.frames() == 0);
        let frame = again.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), "all");
        assert!(first.is_over() && first.frames() == 1);
        assert!(first.frame().await.is_none());
    }
}
