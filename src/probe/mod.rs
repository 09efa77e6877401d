//! `echobeat probe`: a client that examines a WebSocket, and says what lies between it and the
//! server does to it.
//!
//! It is a client of its own, because it must see what libraries hide: whether a connection ends by
//! FIN, by RST or in silence, Pings, fragments, reserved bits, and Close codes.
//!
//! | room | purpose |
//! |---|---|
//! | `report` | findings, as a table and in JSON |
//! | `checks` | handshakes, and messages of all kinds |
//! | `size` | the largest message that passes |
//! | `idle` | silence: what cuts a connection, and what keeps it open |
//! | `far_end` | the word of an echobeat at the far end |
//! | `exchange` | a message and its echo, a Ping and its Pong |
//! | `handshake`, `http2` | opening handshakes over HTTP/1.1 and HTTP/2 |
//! | `session` | a WebSocket from the client's side |
//! | `frames`, `deflate` | frames and compressed messages |
//! | `cut` | ends of connections |
//! | `dial` | connections, and plain requests over them |

mod checks;
mod cut;
mod deflate;
mod dial;
mod exchange;
mod far_end;
mod frames;
mod handshake;
#[cfg_attr(not(feature = "http2"), path = "no_http2.rs")]
mod http2;
mod idle;
mod report;
mod session;
mod size;

use hyper::HeaderMap;

use crate::config::{Check, HealthConfig, ProbeConfig};
use crate::tls::TlsError;
use dial::Dialer;
use exchange::Liveness;
use far_end::FarEnd;
use handshake::answer::Answer;
use handshake::{Offer, OpenError};
use report::Finding;
pub use report::Report;
use session::Session;

/// Error of a probe that cannot begin, or of a health check.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// There is no certificate to trust, or no TLS at all.
    #[error("{0}")]
    Tls(#[from] TlsError),
    /// There is no answer, or a wrong one.
    #[error("{0}")]
    Unhealthy(String),
    /// This build has no probe.
    #[error("this build has no probe: it is without the feature probe")]
    NotBuilt,
}

/// A probe of one URL.
#[derive(Debug)]
pub struct Probe {
    config: ProbeConfig,
    dialer: Dialer,
    far_end: Option<FarEnd>,
    /// Text that the messages of this probe begin with.
    marker: String,
}

impl Probe {
    /// Prepares a probe. It may read files, and connects to nothing.
    ///
    /// # Errors
    /// When there is no certificate to trust.
    pub fn new(config: ProbeConfig) -> Result<Self, ProbeError> {
        let (trust, timeout) = (&config.trust, config.timeout);
        let dialer = Dialer::new(
            config.url.clone(),
            config.connect_to.clone(),
            trust,
            timeout,
        )?;
        let far_end = match &config.api {
            Some(url) => Some(FarEnd::new(url.clone(), &config)?),
            None => None,
        };
        Ok(Self {
            dialer,
            far_end,
            marker: format!("echobeat probe {:08x}", rand::random::<u32>()),
            config,
        })
    }

    /// Makes all checks, and reports each as soon as it is made. If it is dropped, the report has
    /// what was found so far.
    pub async fn run(&self, report: &Report) {
        report.progress("handshake");
        let (handshake, is_open) = self.check_handshake().await;
        report.add(handshake);
        if is_open {
            self.run_in_sessions(report).await;
        }
        report.complete();
    }

    async fn run_in_sessions(&self, report: &Report) {
        report.add(self.check_subprotocol().await);
        report.progress("HTTP/2");
        report.add(self.check_http2().await);
        report.progress("echo and Ping");
        let (echo, echoes) = self.check_echo().await;
        report.add(echo);
        let (ping, answers_pings) = self.check_ping().await;
        let liveness = Liveness::of(echoes, answers_pings);
        report.add(self.check_round_trip(liveness).await);
        report.add(ping);
        report.progress("messages");
        self.check_messages(report, echoes).await;
        report.progress("size");
        report.add(self.check_size(report, echoes).await);
        let cut = self.check_silence(report, liveness).await;
        if let Some(far_end) = &self.far_end {
            report.progress("the far end");
            report.add(self.check_far_end(far_end, cut).await);
        }
    }

    async fn check_messages(&self, report: &Report, echoes: bool) {
        if echoes {
            report.add(self.check_text().await);
            report.add(self.check_binary().await);
            report.add(self.check_fragments().await);
        } else {
            for check in [Check::Text, Check::Binary, Check::Fragments] {
                report.add(Finding::skipped(check, NO_ECHO));
            }
        }
        report.add(self.check_deflate(echoes).await);
        report.add(self.check_close().await);
    }

    /// Opens a session for a check.
    async fn open(&self, deflate: bool) -> Result<(Session, Answer), OpenError> {
        let http2 = self.config.http2;
        handshake::open(&self.dialer, &self.config, Offer { deflate, http2 }).await
    }
}

/// Reason for which checks that take an echo are not made.
const NO_ECHO: &str = "the far end does not send messages back";

/// Gets a URL, which is to be answered with 200.
///
/// # Errors
/// When it is not.
pub async fn check_health(config: HealthConfig) -> Result<(), ProbeError> {
    let HealthConfig {
        url,
        connect_to,
        trust,
        headers,
        timeout,
    } = config;
    let dialer = Dialer::new(url, connect_to, &trust, timeout)?;
    let answered = tokio::time::timeout(timeout, dialer.get_status(&headers)).await;
    match answered {
        Ok(Ok(200)) => Ok(()),
        Ok(Ok(status)) => Err(ProbeError::Unhealthy(format!("the answer is {status}"))),
        Ok(Err(error)) => Err(ProbeError::Unhealthy(error.to_string())),
        Err(_late) => {
            let limit = humantime::format_duration(timeout);
            Err(ProbeError::Unhealthy(format!("no answer within {limit}")))
        }
    }
}

/// Header lines of requests to the API.
fn authorization(config: &ProbeConfig) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Some(token) = &config.api_token
        && let Ok(value) = format!("Bearer {}", token.as_str()).parse()
    {
        headers.insert(hyper::header::AUTHORIZATION, value);
    }
    headers
}
