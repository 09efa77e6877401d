use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::config::CertificateSource;

fn parse(args: &[&str]) -> Result<ServerConfig, clap::Error> {
    match role(args)? {
        Role::Server(config) => Ok(config),
        Role::Proxy(config) => panic!("{config:?}"),
    }
}

fn role(args: &[&str]) -> Result<Role, clap::Error> {
    Cli::try_parse_from([&["echobeat"], args].concat())?.into_role()
}

#[test]
fn the_defaults_are_the_librarys() {
    assert_eq!(parse(&[]).unwrap(), ServerConfig::default());
}

#[test]
fn every_flag_arrives() {
    let config = parse(&[
        "localhost:1",
        "--listen=unix:a.sock",
        "--tls-cert=cert.pem",
        "--tls-key=key.pem",
        "--path=/a",
        "--path=/b",
        "--heartbeat=off",
        "--heartbeat-text=hi",
        "--subprotocol=chat",
        "--allow-origin=https://example.com",
        "--max-message-size=64KiB",
        "--max-connections=7",
        "--handshake-timeout=1s",
        "--ping-interval=2s",
        "--ping-timeout=3s",
        "--send-timeout=4s",
        "--close-timeout=500ms",
        "--drain=2m",
        "--do=who,fin@3msg",
    ]);
    let expected = ServerConfig {
        listen: ["unix:a.sock", "localhost:1"]
            .map(|a| a.parse().unwrap())
            .into(),
        tls: Some(CertificateSource::Files {
            certificate: "cert.pem".into(),
            key: "key.pem".into(),
        }),
        h2c: false,
        paths: ["/a", "/b"].map(|path| path.parse().unwrap()).into(),
        heartbeat: None,
        heartbeat_text: "hi".to_owned(),
        subprotocols: vec!["chat".parse().unwrap()],
        allowed_origins: vec!["https://example.com".parse().unwrap()],
        max_message_size: 65_536,
        max_connections: 7,
        handshake_timeout: Duration::from_secs(1),
        ping_interval: Some(Duration::from_secs(2)),
        ping_timeout: Duration::from_secs(3),
        send_timeout: Duration::from_secs(4),
        close_timeout: Duration::from_millis(500),
        drain: Duration::from_secs(120),
        scenario: "who,fin@3msg".parse().unwrap(),
        faults: true,
    };
    assert_eq!(config.unwrap(), expected);
}

#[test]
fn every_flag_of_the_proxy_arrives() {
    let bare = role(&["proxy"]).unwrap();
    assert_eq!(bare, Role::Proxy(ProxyConfig::default()));
    let all = role(&[
        "proxy",
        "--listen=localhost:1",
        "--upstream=wss://upstream.test/base/",
        "--upstream-ca=ca.pem",
        "--tls-self-signed",
        "--preserve-host",
        "--connect-timeout=1s",
        "--response-timeout=2s",
        "--idle-timeout=3s",
        "--send-timeout=6s",
        "--max-connections=7",
        "--handshake-timeout=4s",
        "--drain=5s",
    ]);
    let expected = ProxyConfig {
        listen: vec!["localhost:1".parse().unwrap()],
        tls: Some(CertificateSource::SelfSigned { directory: None }),
        h2c: false,
        upstream: "https://upstream.test/base".parse().unwrap(),
        upstream_ca: Some("ca.pem".into()),
        preserve_host: true,
        connect_timeout: Duration::from_secs(1),
        response_timeout: Duration::from_secs(2),
        idle_timeout: Some(Duration::from_secs(3)),
        send_timeout: Duration::from_secs(6),
        max_connections: 7,
        handshake_timeout: Duration::from_secs(4),
        drain: Duration::from_secs(5),
    };
    assert_eq!(all.unwrap(), Role::Proxy(expected));
}

#[test]
fn a_server_and_a_proxy_have_flags_of_their_own() {
    for (args, named) in [
        (&["--path=/ws", "proxy"][..], "proxy"),
        (&["proxy", "--path=/ws"], "--path"),
        (&["--upstream=http://a"], "--upstream"),
        (&["proxy", "--upstream=a"], "--upstream"),
        (&["proxy", "--upstream-ca=a"], "--upstream-ca"),
        (&["proxy", "--h2c", "--tls-self-signed"], "--h2c"),
    ] {
        let error = role(args).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{args:?}");
        assert!(error.to_string().contains(named), "{args:?}: {error}");
    }
}

#[test]
fn http2_without_tls_is_for_servers_without_tls() {
    assert!(parse(&["--h2c"]).unwrap().h2c);
    for tls in [&["--tls-self-signed"][..], &["--tls-cert=a", "--tls-key=b"]] {
        let error = parse(&[&["--h2c"], tls].concat()).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{tls:?}");
        assert!(error.to_string().contains("--h2c"), "{tls:?}: {error}");
    }
}

#[test]
fn a_certificate_is_given_or_made() {
    let made = |directory: Option<&str>| {
        Some(CertificateSource::SelfSigned {
            directory: directory.map(PathBuf::from),
        })
    };
    let tls = |args: &[&str]| parse(args).unwrap().tls;
    assert_eq!(tls(&["--tls-self-signed"]), made(None));
    let kept = ["--tls-self-signed", "--tls-self-signed-dir=dir"];
    assert_eq!(tls(&kept), made(Some("dir")));
    for (args, named) in [
        (&["--tls-cert=a"][..], "--tls-key"),
        (&["--tls-key=a"], "--tls-cert"),
        (&["--tls-self-signed-dir=a"], "--tls-self-signed"),
        (&["--tls-self-signed", "--tls-cert=a"], "--tls-self-signed"),
        (&["--tls-self-signed", "--tls-key=a"], "--tls-self-signed"),
    ] {
        let error = parse(args).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{args:?}");
        assert!(error.to_string().contains(named), "{args:?}: {error}");
    }
}

#[test]
fn bad_values_are_refused_by_name() {
    for bad in [
        "--listen=8002",
        "--path=ws",
        "--heartbeat=0s",
        "--heartbeat=3",
        "--heartbeat=1year",
        "--ping-timeout=off",
        "--subprotocol=a b",
        "--allow-origin=example.com",
        "--max-message-size=0",
        "--max-message-size=2GiB",
        "--max-message-size=16Mebi",
        "--max-connections=0",
        "--max-connections=-1",
        "--threads=0",
        "--threads=many",
        "--log-format=xml",
    ] {
        let error = parse(&[bad]).unwrap_err();
        let flag = bad.split('=').next().unwrap();
        assert_eq!(error.exit_code(), 2, "{bad}");
        assert!(error.to_string().contains(flag), "{bad}: {error}");
    }
}

#[test]
fn the_command_is_sound() {
    use clap::CommandFactory;
    Cli::command().debug_assert();
}
