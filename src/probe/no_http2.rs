//! Opening handshakes over HTTP/2 in a build without the feature `http2`: there are none.

use super::handshake::answer::Answer;
use super::handshake::{Offer, OpenError};
use super::session::Session;
use crate::config::ProbeConfig;
use crate::tls::MaybeTls;

/// Fails.
pub(super) async fn ask(
    _: MaybeTls,
    _: &ProbeConfig,
    _: Offer,
    _: Answer,
) -> Result<(Session, Answer), OpenError> {
    Err(OpenError::NoHttp2(
        "this build is without the feature http2",
    ))
}
