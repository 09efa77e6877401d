//! The requests of a client's connection over HTTP/1.1, as hyper asks for answers.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use http_body_util::BodyExt;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::Service;

use super::forward::{Answer, Switch};
use super::front::Front;
use crate::http::http1::Progress;

/// The requests of a connection, one after another.
pub(super) struct Requests(Arc<Shared>);

struct Shared {
    front: Front,
    progress: Progress,
    accepted: Mutex<Option<Switch>>,
}

impl Requests {
    pub(super) fn new(front: Front) -> Self {
        Self(Arc::new(Shared {
            front,
            progress: Progress::default(),
            accepted: Mutex::new(None),
        }))
    }

    pub(super) fn progress(&self) -> &Progress {
        &self.0.progress
    }

    /// The tunnel that the last request is to become, if any.
    pub(super) fn take_accepted(&self) -> Option<Switch> {
        let mut accepted = self
            .0
            .accepted
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        accepted.take()
    }
}

impl Service<Request<Incoming>> for Requests {
    type Response = Answer;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let shared = Arc::clone(&self.0);
        Box::pin(async move { Ok(shared.answer(request).await) })
    }
}

impl Shared {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Answer {
        let under_way = UnderWay::new(&self);
        let (answer, switch) = self.front.answer(request).await;
        *self.accepted.lock().unwrap_or_else(PoisonError::into_inner) = switch;
        // Until the body has gone out.
        answer.map(|body| {
            body.map_frame(move |frame| {
                let _ = &under_way;
                frame
            })
            .boxed_unsync()
        })
    }
}

/// A request that is under way, until this is dropped.
struct UnderWay(Arc<Shared>);

impl UnderWay {
    fn new(shared: &Arc<Shared>) -> Self {
        Self(Arc::clone(shared))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.progress.end();
    }
}
