//! The requests of a client's connection over HTTP/1.1, as hyper asks for answers.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};

use http_body_util::BodyExt;
use hyper::Request;
use hyper::body::{Body, Incoming};
use hyper::header::EXPECT;
use hyper::service::Service;

use super::forward::{Answer, Switch};
use super::front::Front;
use super::interim::{self, Interim, Interims};
use crate::http::http1::Progress;

/// The requests of a connection, one after another.
pub(super) struct Requests(Arc<Shared>);

struct Shared {
    front: Front,
    /// Writer of interim responses to the client.
    interims: Interims,
    progress: Progress,
    accepted: Mutex<Option<Switch>>,
}

impl Requests {
    pub(super) fn new(front: Front, interims: Interims) -> Self {
        Self(Arc::new(Shared {
            front,
            interims,
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
        let (answer, switch) = self.forward(request).await;
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

    /// Forwards a request, and passes on the upstream's interim responses.
    async fn forward(&self, request: Request<Incoming>) -> (Answer, Option<Switch>) {
        let are_wanted = interim::are_for(request.version());
        if request.headers().contains_key(EXPECT) && !request.body().is_end_stream() {
            self.interims.hold_continue().await;
        }
        let (sender, mut interims) = interim::channel();
        let mut answering = pin!(self.front.answer(request, sender));
        let answered = loop {
            tokio::select! {
                Some(interim) = interims.recv() => self.inform(&interim, are_wanted).await,
                answered = &mut answering => break answered,
            }
        };
        // Interim responses that came right before the answer.
        while let Ok(interim) = interims.try_recv() {
            self.inform(&interim, are_wanted).await;
        }
        answered
    }

    async fn inform(&self, interim: &Interim, are_wanted: bool) {
        if are_wanted {
            self.interims.send(interim).await;
        }
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
