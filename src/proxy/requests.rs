//! The requests of a client's connection over HTTP/1.1.

use std::pin::pin;

use hyper::Request;
use hyper::body::{Body, Incoming};
use hyper::header::EXPECT;

use super::client_context::ClientContext;
use super::forward::{Answer, Forwarded, Switch};
use super::interim::{self, Interim, Interims};
use crate::http::http1::Outcome;

/// The requests of a connection, one after another.
#[derive(Clone)]
pub(super) struct Requests {
    pub(super) context: ClientContext,
    /// Writer of interim responses to the client.
    pub(super) interims: Interims,
}

impl Requests {
    pub(super) async fn answer(self, request: Request<Incoming>) -> Outcome<Forwarded, Switch> {
        match self.forward(request).await {
            (answer, None) => Outcome::Answer(answer),
            (answer, Some(switch)) => Outcome::Switch(answer, switch),
        }
    }

    /// Forwards a request, and passes on the upstream's interim responses.
    async fn forward(&self, request: Request<Incoming>) -> (Answer, Option<Switch>) {
        let are_wanted = interim::are_for(request.version());
        if request.headers().contains_key(EXPECT) && !request.body().is_end_stream() {
            self.interims.hold_continue().await;
        }
        let (sender, mut interims) = interim::channel();
        let mut answering = pin!(self.context.answer(request, sender));
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
