//! The HTTP API in a build without the feature `api`: there is none, and a server that is to have
//! one does not start.

use std::error::Error;
use std::future::pending;
use std::sync::Arc;

use hyper::Request;

use crate::config::ApiSettings;
use crate::net::connection_info::ConnectionInfo;
use crate::registry::Registry;
use crate::registry::cluster::Cluster;
use crate::runtime::shutdown::Drain;

/// The API of a server, which this build does not have.
#[derive(Debug)]
pub(crate) enum Api {}

impl Api {
    pub(crate) fn new(_: Registry, _: Option<Cluster>, _: ApiSettings) -> Arc<Self> {
        unreachable!("a server that is to have an API does not start")
    }

    pub(crate) async fn join(self: Arc<Self>, _: Cluster) {
        match *self {}
    }

    pub(crate) fn is_everywhere(&self) -> bool {
        match *self {}
    }

    pub(crate) fn is_asked<B>(&self, _: &Request<B>) -> bool {
        match *self {}
    }
}

pub(crate) mod service {
    use std::convert::Infallible;

    use hyper::body::Incoming;

    use super::*;
    use crate::http::body::AnswerBody;
    use crate::http::exchange::Exchange;
    use crate::http::http1::Outcome;
    use crate::http::progress::ClientEnd;
    use crate::net::stream::Prefixed;
    use crate::runtime::tasks::Stage;
    use crate::serve::negotiate::{Negotiator, PendingConnection};
    use crate::serve::service::Service;
    use crate::tls::{Acceptor, MaybeTls};

    /// The service on addresses that are the API's own.
    #[derive(Debug)]
    pub(crate) struct ApiService(Infallible);

    impl ApiService {
        pub(crate) fn new(api: Arc<Api>, _: Option<Arc<Acceptor>>) -> Self {
            match *api {}
        }
    }

    impl Service for ApiService {
        fn negotiator(&self) -> &Negotiator {
            match self.0 {}
        }

        fn under_way(&self) -> usize {
            match self.0 {}
        }

        async fn open_http1(&self, _: Prefixed<MaybeTls>, _: PendingConnection) -> Option<Stage> {
            match self.0 {}
        }

        fn open_http2(&self, _: Prefixed<MaybeTls>, _: PendingConnection) -> Stage {
            match self.0 {}
        }
    }

    pub(crate) fn answer_http1<U>(
        api: &Arc<Api>,
        _: Request<Incoming>,
        _: ConnectionInfo,
        _: Drain,
        _: ClientEnd,
    ) -> impl Future<Output = Outcome<AnswerBody, U>> + Send + use<U> {
        match **api {};
        #[expect(unreachable_code, reason = "a future of this type is to be named")]
        pending()
    }

    pub(crate) async fn answer_http2(api: Arc<Api>, _: Exchange, _: Drain) {
        match *api {}
    }
}
