//! Certificates and keys: where they come from, and what may be wrong with them.

use std::fs;
use std::process::Stdio;

use echobeat::{CertificateSource, ServerConfig};
use tokio::io::{AsyncBufReadExt, BufReader};

use super::{BOTH_VERSIONS, Issued, Trusting, directory, key_file, text};
use crate::cli::{Running, echobeat};
use crate::support::{TestServer, config, soon};

#[tokio::test]
async fn keys_of_every_form_are_read() {
    for form in ["rsa-pkcs1", "ec-sec1"] {
        let (kind, _) = form.split_once('-').unwrap();
        let certificate = key_file(&format!("{kind}-cert.pem"));
        let trusting = Trusting::file(&certificate);
        let server = TestServer::start_with(ServerConfig {
            tls: Some(CertificateSource::Files {
                certificate,
                key: key_file(&format!("{form}.pem")),
            }),
            ..config()
        })
        .await;
        for version in BOTH_VERSIONS {
            trusting
                .try_connect_with(&[version], &[], server.address)
                .await
                .unwrap_or_else(|error| panic!("{form}: {error}"));
        }
    }
}

#[tokio::test]
async fn a_self_signed_certificate_is_kept_until_it_does_not_fit() {
    let directory = directory("self-signed").join("made");
    let start = async |listen: &str| {
        let mut command = echobeat(&[listen, "--tls-self-signed", "--tls-self-signed-dir"]);
        command.arg(&directory);
        Running::start(command).await
    };
    let file = directory.join("echobeat-cert.pem");
    let first = start("127.0.0.1:0").await;
    assert!(first.url.starts_with("wss://127.0.0.1:"), "{}", first.url);
    let mut client = Trusting::file(&file).client(first.address()).await;
    client.echo("hello").await;
    let made = fs::read(&file).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let key = fs::metadata(directory.join("echobeat-key.pem")).unwrap();
        assert_eq!(key.permissions().mode() & 0o777, 0o600);
    }
    drop(start("127.0.0.1:0").await);
    assert_eq!(fs::read(&file).unwrap(), made, "it is kept");

    let third = start("0.0.0.0:0").await;
    assert_ne!(fs::read(&file).unwrap(), made, "it was not for this host");
    Trusting::file(&file).session(third.address()).await;

    fs::write(&file, "-----BEGIN CERTIFICATE-----\n!\n").unwrap();
    let fourth = start("127.0.0.1:0").await;
    Trusting::file(&file).session(fourth.address()).await;
}

#[tokio::test]
async fn the_fingerprint_of_a_self_signed_certificate_is_logged_first() {
    let mut command = echobeat(&["127.0.0.1:0", "--tls-self-signed"]);
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    let first = soon(log.next_line()).await.unwrap().unwrap();
    let (_, fingerprint) = first.split_once("sha256=\"").expect("a fingerprint");
    let (fingerprint, _) = fingerprint.split_once('"').unwrap();
    let bytes: Vec<_> = fingerprint.split(':').map(str::len).collect();
    assert_eq!(bytes, [2; 32], "{first}");
    let second = soon(log.next_line()).await.unwrap().unwrap();
    assert!(second.contains("http=\"https://127.0.0.1:"), "{second}");
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named() {
    let issued = Issued::new("bad-files");
    let other = Issued::new("bad-files-other");
    let write = |name: &str, text: &str| {
        let file = issued.directory.join(name);
        fs::write(&file, text).unwrap();
        file
    };
    let (certificate, key) = (issued.certificate(), issued.key());
    let absent = issued.directory.join("absent.pem");
    let empty = write("empty.pem", "");
    let not_base64 = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
    let not_base64 = write("not-base64.pem", not_base64);
    let not_der = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let not_der = write("not-der.pem", not_der);
    let no_end = write("no-end.pem", "-----BEGIN PRIVATE KEY-----\nAAAA\n");
    let bad_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let bad_key = write("bad-key.pem", bad_key);
    for (certificate, key, named, sentence) in [
        (&absent, &key, &absent, "cannot read"),
        (&certificate, &absent, &absent, "cannot read"),
        (&empty, &key, &empty, "no certificate"),
        (&key, &key, &key, "no certificate"),
        (&not_base64, &key, &not_base64, "not Base64"),
        (&not_der, &key, &not_der, "cannot be used"),
        (&certificate, &empty, &empty, "no private key"),
        (&certificate, &certificate, &certificate, "no private key"),
        (&certificate, &no_end, &no_end, "END"),
        (&certificate, &bad_key, &bad_key, "cannot be used"),
        (
            &certificate,
            &key_file("ec-passphrase.pem"),
            &key_file("ec-passphrase.pem"),
            "passphrase",
        ),
        (&certificate, &other.key(), &other.key(), "does not belong"),
    ] {
        let args = ["--tls-cert", text(certificate), "--tls-key", text(key)];
        let output = soon(echobeat(&[&["127.0.0.1:0"], &args[..]].concat()).output());
        let output = output.await.unwrap();
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert!(
            complaint.contains(text(named)) && complaint.contains(sentence),
            "{args:?}: {complaint}"
        );
        assert_eq!(complaint.lines().count(), 1, "{complaint}");
    }
}
