//! SIGHUP: the certificate is read again.

use std::fs;

use rustls::pki_types::CertificateDer;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::client::TlsStream;

use super::Issued;
use crate::support::{Raw, soon};
use crate::unix::kill;

/// The certificate that the server showed.
fn shown(raw: &Raw<TlsStream<TcpStream>>) -> CertificateDer<'static> {
    let (_, session) = raw.stream.get_ref();
    session.peer_certificates().expect("a certificate")[0].clone()
}

#[tokio::test]
async fn a_reload_under_load_loses_nothing() {
    let issued = Issued::new("reload");
    let mut running = issued.run(&[]).await;
    let address = running.address();
    let trusting = issued.trusted();
    let (stop, stopped) = watch::channel(());
    let mut load = Vec::new();
    for _ in 0..20 {
        let (trusting, stopped) = (trusting.clone(), stopped.clone());
        let mut client = trusting.client(address).await;
        load.push(tokio::spawn(async move {
            let mut connections = 0;
            while !stopped.has_changed().unwrap_or(true) {
                for n in 0..10 {
                    client.echo(format!("message {n}")).await;
                }
                trusting.client(address).await.echo("hello").await;
                connections += 1;
            }
            client.echo("still here").await;
            connections
        }));
    }
    for _ in 0..3 {
        let new = issued.issue();
        kill("-HUP", &running).await;
        running.logs("certificate file=").await;
        // It is in use from then on, or the moment after.
        let used = async { while shown(&trusting.connect(address).await) != new {} };
        soon(used).await;
    }
    stop.send(()).unwrap();
    for client in load {
        assert!(soon(client).await.expect("nothing is lost") > 0);
    }
}

#[tokio::test]
async fn a_bad_new_certificate_leaves_the_old_one() {
    let issued = Issued::new("bad-reload");
    let mut running = issued.run(&[]).await;
    let address = running.address();
    let mut client = issued.trusted().client(address).await;
    let old = shown(&issued.trusted().connect(address).await);
    fs::write(issued.key(), "").unwrap();
    kill("-HUP", &running).await;
    let line = running.logs("the certificate stays").await;
    assert!(line.contains("ERROR"), "{line}");
    assert!(line.contains("key.pem contains no private key"), "{line}");
    assert_eq!(shown(&issued.trusted().connect(address).await), old);
    client.echo("hello").await;

    let new = issued.issue();
    kill("-HUP", &running).await;
    let used = async { while shown(&issued.trusted().connect(address).await) != new {} };
    soon(used).await;
}
