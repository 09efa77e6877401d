//! Two programs: a server, and a proxy in front of it. The whole suite of the echo runs so too.

use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use crate::cli::{Running, echobeat};
use crate::support::{Client, Raw};
use crate::tls::Issued;

#[tokio::test]
async fn server_and_proxy_log_the_same_session() {
    let mut server = Running::start(echobeat(&["127.0.0.1:0"])).await;
    let upstream = format!("--upstream={}", server.url);
    let mut proxy = Running::start(echobeat(&["proxy", "--listen=127.0.0.1:0", &upstream])).await;
    let stream = Raw::connect(proxy.address()).await.stream;
    let client = Client::over(stream, proxy.url.clone()).await.unwrap();
    let (code, reason) = (4001.into(), "enough".into());
    client.close(CloseFrame { code, reason }).await;
    proxy.logs("connection: open").await;
    let end = proxy.logs("connection: end").await;
    assert!(end.contains("why=\"closed\""), "{end}");
    server.logs("end why=\"closed\" code=4001").await;
}

#[tokio::test]
async fn server_and_proxy_speak_tls_by_their_flags() {
    let issued = Issued::new("proxy-programs");
    let server = issued.run(&[]).await;
    let upstream = format!("--upstream=https://localhost:{}", server.address().port());
    let authority = issued.authority_file();
    let trusted = format!("--upstream-ca={}", authority.display());
    let (certificate, key) = (issued.certificate(), issued.key());
    let certificate = format!("--tls-cert={}", certificate.display());
    let key = format!("--tls-key={}", key.display());
    let args = [
        "proxy",
        "--listen=127.0.0.1:0",
        &upstream,
        &trusted,
        &certificate,
        &key,
    ];
    let mut proxy = Running::start(echobeat(&args)).await;
    assert!(proxy.url.starts_with("wss://"), "{}", proxy.url);
    issued
        .trusted()
        .client(proxy.address())
        .await
        .echo("hello")
        .await;
    let open = proxy.logs("connection: open").await;
    assert!(open.contains("tls=\"1.3\""), "{open}");
}

#[cfg(unix)]
#[tokio::test]
async fn the_proxy_reloads_its_certificate() {
    let issued = Issued::new("proxy-reload");
    let (certificate, key) = (issued.certificate(), issued.key());
    let certificate = format!("--tls-cert={}", certificate.display());
    let key = format!("--tls-key={}", key.display());
    let args = ["proxy", "--listen=127.0.0.1:0", &certificate, &key];
    let mut proxy = Running::start(echobeat(&args)).await;
    issued.issue();
    crate::unix::kill("-HUP", &proxy).await;
    proxy.logs("certificate file=").await;
}
