//! Both ends' word, where the far end is an echobeat with an API.

use echobeat::{ApiConfig, ProxyConfig, ServerConfig};

use super::stub::{Habits, SILENCE, Stub};
use super::{Found, QUICK, probe};
use crate::proxy::{TestProxy, to};
use crate::support::{TestServer, config};

async fn with_api() -> TestServer {
    TestServer::start_with(ServerConfig {
        ping_interval: None,
        api: Some(ApiConfig {
            token: Some("secret".parse().unwrap()),
            ..ApiConfig::default()
        }),
        ..config()
    })
    .await
}

/// Probes through a proxy that cuts silent connections, and asks the far end.
pub(super) async fn cut_in_between() -> Found {
    let server = with_api().await;
    let proxy = TestProxy::start(ProxyConfig {
        idle_timeout: Some(SILENCE),
        ..to(&format!("http://{}", server.address))
    })
    .await;
    let api = format!("--api-url=http://{}", server.address);
    let url = format!("ws://{}/", proxy.address);
    let flags = [
        "--max-idle=2s",
        "--max-message=1KiB",
        "--subprotocol=a",
        "--expect=ping",
        "--api-token=secret",
        &api,
    ];
    probe(&url, &flags).await
}

#[tokio::test]
async fn a_connection_that_was_cut_in_between_is_told_of_by_both_ends() {
    let found = cut_in_between().await;
    found.expect(&[("far-end", "pass")]);
    assert_eq!(found.field("far-end", "/fragments/received"), 3);
    assert_eq!(found.field("far-end", "/close/received"), 4322);
    assert_eq!(found.field("far-end", "/silent/here/tcp"), "fin");
    assert_eq!(found.field("far-end", "/silent/cut_by"), "between");
}

#[tokio::test]
async fn an_api_that_does_not_answer_is_told_of() {
    let server = with_api().await;
    let url = format!("ws://{}/", server.address);
    let api = format!("--api-url=http://{}", server.address);
    let without_token = probe(&url, &[&QUICK[..], &[&api]].concat()).await;
    without_token.expect(&[("far-end", "fail")]);
    let detail = without_token.detail("far-end");
    assert!(
        detail.starts_with("the API answered with 401: "),
        "{detail}"
    );
}

#[tokio::test]
async fn a_far_end_without_an_api_is_told_of() {
    let stub = Stub::start(Habits::default()).await;
    let api = format!("--api-url=http://{}", stub.address);
    let found = probe(&stub.url(), &[&QUICK[..], &[&api]].concat()).await;
    found.expect(&[("far-end", "fail")]);
    assert!(found.detail("far-end").contains("Echobeat-Connection"));
}
