//! The command line of `echobeat probe`.

use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory};
use hyper::HeaderMap;

use super::values::{Interval, duration, interval, message_size};
use super::{Cli, Role};
use crate::config::{
    ApiToken, Check, Expectation, HeaderLine, HealthConfig, ProbeConfig, ProbeUrl, Quantity, Trust,
};
use crate::net::address::Address;
use crate::ws::subprotocol::Subprotocol;

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(super) struct ProbeArgs {
    /// URL of the WebSocket
    ///
    /// It is ws://host:port/path, wss://…, host:port, or a port of this machine.
    #[arg(value_name = "URL")]
    url: ProbeUrl,

    /// Longest silence to try, or off
    ///
    /// Several connections are silent at once. The probe takes about as long as this, or 2.6 times
    /// the idle timeout that it finds; and longer where connections are lost without a sign.
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = interval)]
    max_idle: Interval,

    /// Largest message to try
    #[arg(long, value_name = "SIZE", default_value = "16MiB", value_parser = message_size)]
    max_message: usize,

    /// Time for each step
    ///
    /// It is for a connection, a handshake, or an answer.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    timeout: Duration,

    /// Fail unless a check passes; may be repeated
    ///
    /// It is the name of a check, such as ping, deflate or h2; or a bound, such as idle>=60s,
    /// round-trip<=50ms or size>=1MiB. The exit code is 1 if one is not met.
    #[arg(long, value_name = "CHECK", value_delimiter = ',')]
    expect: Vec<Expectation>,

    /// Print the report as JSON
    #[arg(long)]
    json: bool,

    /// API of the echobeat at the far end
    ///
    /// It is the http URL of an echobeat with --api, which is asked what it saw.
    #[arg(long, value_name = "URL")]
    api_url: Option<ProbeUrl>,

    /// Token for that API
    #[arg(long, value_name = "TOKEN", requires = "api_url")]
    api_token: Option<ApiToken>,

    /// Offer a subprotocol; may be repeated
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    subprotocol: Vec<Subprotocol>,

    /// Send a header, 'Name: value'; may be repeated
    #[arg(long, value_name = "HEADER")]
    header: Vec<HeaderLine>,

    /// Make all checks over HTTP/2
    ///
    /// Over ws:// it begins with HTTP/2 ("prior knowledge").
    #[arg(long)]
    http2: bool,

    /// Authorities to trust, in PEM
    ///
    /// They vouch for a wss server [default: the system's].
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    cacert: Option<PathBuf>,

    /// Trust any certificate
    #[arg(long)]
    insecure: bool,

    /// Address to connect to
    ///
    /// It is host:port or unix:PATH, in place of the URL's own.
    #[arg(long, value_name = "ADDR")]
    connect_to: Option<Address>,

    /// Only GET the URL, and expect 200
    ///
    /// It is a health check, as for a container: the exit code is 0 or 1.
    #[arg(long)]
    #[arg(conflicts_with_all = ["max_idle", "max_message", "expect", "json", "api_url"])]
    #[arg(conflicts_with_all = ["subprotocol", "http2"])]
    health: bool,
}

impl ProbeArgs {
    pub(super) fn into_role(self) -> Result<Role, clap::Error> {
        let trust = self.trust()?;
        self.require_possible_expectations()?;
        let lines = self.header.into_iter();
        let headers: HeaderMap = lines.map(|line| (line.name, line.value)).collect();
        if self.health {
            return Ok(Role::Health(HealthConfig {
                url: self.url,
                connect_to: self.connect_to,
                trust,
                headers,
                timeout: self.timeout,
            }));
        }
        let config = ProbeConfig {
            url: self.url,
            connect_to: self.connect_to,
            trust,
            headers,
            subprotocols: self.subprotocol,
            http2: self.http2,
            timeout: self.timeout,
            max_message: self.max_message,
            max_idle: self.max_idle.0,
            api: self.api_url,
            api_token: self.api_token,
            expectations: self.expect,
        };
        Ok(Role::Probe(config, Output { json: self.json }))
    }

    /// Refuses expectations that no result could meet, because the other flags keep it from being found.
    fn require_possible_expectations(&self) -> Result<(), clap::Error> {
        let hindered = |expectation| Some((expectation, self.hindrance(expectation)?));
        let Some((expectation, hindrance)) = self.expect.iter().find_map(hindered) else {
            return Ok(());
        };
        let complaint = format!("--expect {expectation} cannot be met: {hindrance}");
        Err(Cli::command().error(ErrorKind::ArgumentConflict, complaint))
    }

    fn hindrance(&self, expectation: &Expectation) -> Option<&'static str> {
        let most_bytes = Quantity::Bytes(u64::try_from(self.max_message).unwrap_or(u64::MAX));
        match (expectation.check, self.max_idle.0) {
            (Check::Size, _) if expectation.exceeds(most_bytes) => Some("--max-message is less"),
            (Check::Idle, Some(most)) if expectation.exceeds(Quantity::Time(most)) => {
                Some("--max-idle is less")
            }
            (
                Check::Idle
                | Check::KeepalivePing
                | Check::KeepaliveData
                | Check::PingFromThere
                | Check::UnansweredPing,
                None,
            ) => Some("--max-idle is off"),
            (Check::Subprotocol, _) if self.subprotocol.is_empty() => {
                Some("no --subprotocol is offered")
            }
            (Check::FarEnd, _) if self.api_url.is_none() => Some("there is no --api-url"),
            _ => None,
        }
    }

    /// The authorities to trust. It is an error to name some for URLs without TLS, because nothing
    /// would be verified.
    fn trust(&self) -> Result<Trust, clap::Error> {
        let is_tls = [Some(&self.url), self.api_url.as_ref()]
            .into_iter()
            .flatten()
            .any(ProbeUrl::is_tls);
        match &self.cacert {
            Some(_) if !is_tls => {
                let complaint = format!("--cacert is for a wss URL, and this is {}", self.url);
                Err(Cli::command().error(ErrorKind::ArgumentConflict, complaint))
            }
            Some(file) => Ok(Trust::File(file.clone())),
            None if self.insecure => Ok(Trust::Anyone),
            None => Ok(Trust::System),
        }
    }
}

/// Form of a probe's report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Output {
    /// Whether it is JSON, and not a table.
    pub json: bool,
}
