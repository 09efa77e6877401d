use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::config::{ApiConfig, CertificateSource, ClusterConfig, Compression, Trust};

fn parse(args: &[&str]) -> Result<ServerConfig, clap::Error> {
    match role(args)? {
        Role::Server(config) => Ok(*config),
        other => panic!("{other:?}"),
    }
}

fn role(args: &[&str]) -> Result<Role, clap::Error> {
    read(args)?.into_role()
}

fn read(args: &[&str]) -> Result<Cli, clap::Error> {
    Cli::read(["echobeat"].iter().chain(args).map(Into::into), |_| None)
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
        "--proxy-protocol=10.0.0.0/8",
        "--trust-proxy=unix,192.0.2.1",
        "--path=/a",
        "--path=/b",
        "--heartbeat=off",
        "--heartbeat-text=hi",
        "--subprotocol=chat",
        "--allow-origin=https://example.com",
        "--compression=takeover",
        "--max-message-size=64KiB",
        "--max-connections=7",
        "--handshake-timeout=1s",
        "--ping-interval=2s",
        "--ping-timeout=3s",
        "--send-timeout=4s",
        "--close-timeout=500ms",
        "--fault-timeout=1m",
        "--drain=2m",
        "--do=who,fin@3msg",
        "--api=unix:api.sock",
        "--api-token=secret",
        "--api-keep-closed=1",
        "--api-keep-messages=2",
        "--api-memory=3MiB",
        "--nats=tls://me:secret@nats:1",
        "--nats-creds=me.creds",
        "--nats-prefix=team.echobeat",
        "--node=a",
        "--nats-timeout=9s",
        "--nats-required",
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
        proxy_protocol: vec!["10.0.0.0/8".parse().unwrap()],
        trusted_proxies: ["unix", "192.0.2.1"]
            .map(|from| from.parse().unwrap())
            .into(),
        paths: ["/a", "/b"].map(|path| path.parse().unwrap()).into(),
        heartbeat: None,
        heartbeat_text: "hi".to_owned(),
        subprotocols: vec!["chat".parse().unwrap()],
        allowed_origins: vec!["https://example.com".parse().unwrap()],
        compression: Compression::Takeover,
        max_message_size: 65_536,
        max_connections: 7,
        handshake_timeout: Duration::from_secs(1),
        ping_interval: Some(Duration::from_secs(2)),
        ping_timeout: Duration::from_secs(3),
        send_timeout: Duration::from_secs(4),
        close_timeout: Duration::from_millis(500),
        fault_timeout: Duration::from_secs(60),
        drain: Duration::from_secs(120),
        scenario: "who,fin@3msg".parse().unwrap(),
        faults: true,
        api: Some(ApiConfig {
            listen: vec!["unix:api.sock".parse().unwrap()],
            token: Some("secret".parse().unwrap()),
            keep_closed: 1,
            keep_messages: 2,
            memory: 3 << 20,
            ..ApiConfig::default()
        }),
        cluster: Some(ClusterConfig {
            servers: vec!["tls://me:secret@nats:1".parse().unwrap()],
            credentials: Some("me.creds".into()),
            prefix: "team.echobeat".parse().unwrap(),
            node: "a".parse().unwrap(),
            timeout: Duration::from_secs(9),
            is_required: true,
        }),
    };
    assert_eq!(config.unwrap(), expected);
}

#[test]
fn every_flag_of_the_proxy_arrives() {
    let bare = role(&["proxy"]).unwrap();
    assert_eq!(bare, Role::Proxy(Box::default()));
    let all = role(&[
        "proxy",
        "--listen=localhost:1",
        "--upstream=wss://upstream.test/base/",
        "--upstream-ca=ca.pem",
        "--tls-self-signed",
        "--proxy-protocol=unix",
        "--trust-proxy=10.0.0.0/8",
        "--upstream-host=other.test:1",
        "--connect-timeout=1s",
        "--response-timeout=2s",
        "--idle-timeout=3s",
        "--send-timeout=6s",
        "--max-connections=7",
        "--handshake-timeout=4s",
        "--drain=5s",
        "--api=localhost:9",
        "--do=up.drop:10%",
        "--faults-by-url",
        "--fault-timeout=8s",
    ]);
    let expected = ProxyConfig {
        listen: vec!["localhost:1".parse().unwrap()],
        tls: Some(CertificateSource::SelfSigned { directory: None }),
        h2c: false,
        proxy_protocol: vec!["unix".parse().unwrap()],
        trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()],
        upstream: "https://upstream.test/base".parse().unwrap(),
        upstream_ca: Some("ca.pem".into()),
        upstream_host: "other.test:1".parse().unwrap(),
        connect_timeout: Duration::from_secs(1),
        response_timeout: Duration::from_secs(2),
        idle_timeout: Some(Duration::from_secs(3)),
        send_timeout: Duration::from_secs(6),
        max_connections: 7,
        handshake_timeout: Duration::from_secs(4),
        drain: Duration::from_secs(5),
        api: Some(ApiConfig {
            listen: vec!["localhost:9".parse().unwrap()],
            ..ApiConfig::default()
        }),
        scenario: "up.drop:10%".parse().unwrap(),
        faults_by_url: true,
        fault_timeout: Duration::from_secs(8),
    };
    assert_eq!(all.unwrap(), Role::Proxy(Box::new(expected)));
}

#[test]
fn a_server_and_a_proxy_have_flags_of_their_own() {
    for (args, named) in [
        (&["--path=/ws", "proxy"][..], "proxy"),
        (&["proxy", "--path=/ws"], "--path"),
        (&["--upstream=http://a"], "--upstream"),
        (&["proxy", "--upstream=localhost"], "--upstream"),
        (&["proxy", "--upstream-host=a b"], "--upstream-host"),
        (&["proxy", "--upstream-ca=a"], "--upstream-ca"),
        (&["proxy", "--do=who"], "--do"),
        (&["--faults-by-url"], "--faults-by-url"),
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
    let faults = |root: Option<&str>| {
        Some(CertificateSource::Faults {
            root: root.map(PathBuf::from),
        })
    };
    assert_eq!(tls(&["--tls-faults"]), faults(None));
    let written = ["--tls-faults", "--tls-faults-root=root.pem"];
    assert_eq!(tls(&written), faults(Some("root.pem")));
    for (args, named) in [
        (&["--tls-cert=a"][..], "--tls-key"),
        (&["--tls-key=a"], "--tls-cert"),
        (&["--tls-self-signed-dir=a"], "--tls-self-signed"),
        (&["--tls-self-signed", "--tls-cert=a"], "--tls-self-signed"),
        (&["--tls-self-signed", "--tls-key=a"], "--tls-self-signed"),
        (&["--tls-faults", "--tls-self-signed"], "--tls-faults"),
        (&["--tls-faults-root=a"], "--tls-faults"),
    ] {
        let error = parse(args).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{args:?}");
        assert!(error.to_string().contains(named), "{args:?}: {error}");
    }
}

#[test]
fn bad_values_are_refused_by_name() {
    for bad in [
        "--listen=localhost",
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
fn a_value_that_is_wrong_gets_a_sentence_that_says_how_it_is_written() {
    for (bad, sentence) in [
        ("--listen=server", "a port of this machine such as 9000"),
        ("--listen=*:80", "0.0.0.0:port for all interfaces"),
        (
            "--listen=unix:a?mode=rw",
            "three octal digits, such as 0660",
        ),
        ("--path=ws", "a path begins with /"),
        ("--heartbeat=3", "500ms, 3s or 2m, or off"),
        ("--drain=off", "500ms, 3s or 2m"),
        ("--drain=1year", "from 1ms to 30days"),
        ("--subprotocol=a b", "a token: letters, digits"),
        ("--allow-origin=a.test", "scheme://host"),
        ("--max-message-size=big", "64KiB, 16MiB, or 1048576"),
        ("--max-message-size=-1", "64KiB, 16MiB, or 1048576"),
        ("--max-message-size=16Mebi", "64KiB, 16MiB, or 1048576"),
        ("--max-message-size=1TiB", "from 1 byte to 1GiB"),
        (
            "--max-connections=99999999999999999999",
            "from 1 to 1000000000",
        ),
        ("--threads=1000000", "from 1 to 1024"),
        ("--do=nothing", "There is no step"),
    ] {
        let error = read(&[bad]).unwrap_err().to_string();
        assert!(error.contains(sentence), "{bad}: {error}");
    }
}

#[test]
fn addresses_stand_behind_proxy_as_behind_the_server() {
    for (args, addresses) in [
        (&["9000"][..], &["127.0.0.1:9000"][..]),
        (&["0", "0"], &["127.0.0.1:0", "127.0.0.1:0"]),
        (&["-l", "1", "a:2"], &["127.0.0.1:1", "a:2"]),
    ] {
        let wanted: Vec<_> = addresses.iter().map(|a| a.parse().unwrap()).collect();
        assert_eq!(parse(args).unwrap().listen, wanted, "{args:?}");
        let Role::Proxy(config) = role(&[&["proxy"], args].concat()).unwrap() else {
            panic!("a proxy was asked for");
        };
        assert_eq!(config.listen, wanted, "{args:?}");
    }
    let twice = ["unix:a?mode=0660", "--listen=unix:a"];
    for args in [&["9000", "127.0.0.1:9000"], &twice] {
        let error = parse(args).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{args:?}");
        assert!(error.to_string().contains("is there twice"), "{error}");
    }
}

#[test]
fn what_is_nearly_a_command_is_no_address() {
    for (word, meant) in [
        ("porxy", "proxy"),
        ("proxxy", "proxy"),
        ("Proxy", "proxy"),
        ("prob", "probe"),
        ("hepl", "help"),
    ] {
        for rest in [&[][..], &["--upstream=9000"]] {
            let error = role(&[&[word], rest].concat()).unwrap_err();
            let said = format!("unknown command '{word}': did you mean '{meant}'?");
            assert_eq!(error.exit_code(), 2, "{word}");
            assert!(error.to_string().contains(&said), "{word}: {error}");
        }
    }
    for word in ["server", "localhost", "proxy.test"] {
        let error = role(&[word]).unwrap_err().to_string();
        assert!(error.contains("an address is a port"), "{word}: {error}");
    }
}

#[test]
fn the_short_help_has_a_line_for_a_flag_and_the_long_one_has_all() {
    for command in [&[][..], &["proxy"], &["probe"]] {
        let help = |flag| read(&[command, &[flag]].concat()).unwrap_err().to_string();
        let (short, long) = (help("-h"), help("--help"));
        assert!(short.lines().count() <= 48, "{short}");
        for line in short.lines() {
            assert!(line.chars().count() <= 80, "{line}");
            let is_continued = line.starts_with("           ");
            assert!(!is_continued, "{line}");
        }
        assert!(!short.contains("[env: "), "{short}");
        // A probe is told all on its command line.
        let has_variables = long.contains("[env: ECHOBEAT_HANDSHAKE_TIMEOUT=");
        assert_eq!(has_variables, command != ["probe"], "{long}");
    }
    let help = read(&["--help"]).unwrap_err().to_string();
    assert!(help.contains("close:CODE:REASON"), "{help}");
}

#[test]
fn more_connections_than_open_files_are_warned_about() {
    let limit = crate::platform::open_file_limit();
    for (command, least) in [(&[][..], limit), (&["proxy"], limit / 2)] {
        let shortage = |number: usize| {
            let number = format!("--max-connections={number}");
            read(&[command, &[&number]].concat()).unwrap().shortage()
        };
        let sentence = shortage(least + 1).unwrap();
        assert!(sentence.contains("--max-connections"), "{sentence}");
        assert!(
            sentence.contains(&format!("limit is {limit}")),
            "{sentence}"
        );
        assert!(sentence.contains("ulimit -n"), "{sentence}");
        assert_eq!(shortage(1), None);
    }
    assert_eq!(read(&[]).unwrap().shortage(), None);
}

#[test]
fn the_command_is_sound() {
    use clap::CommandFactory;
    Cli::command().debug_assert();
}

#[test]
fn the_api_is_off_or_everywhere_or_on_addresses_of_its_own() {
    let listen = |args: &[&str]| {
        let config = parse(args).unwrap();
        config.api.map(|api| api.listen.len())
    };
    assert_eq!(listen(&[]), None);
    assert_eq!(listen(&["--api=off"]), None);
    assert_eq!(listen(&["--api"]), Some(0));
    assert_eq!(
        listen(&["--api", "9000"]),
        Some(0),
        "9000 is an address to listen on"
    );
    assert_eq!(listen(&["--api=9001", "--api=9002"]), Some(2));
    for bad in [
        &["--api=9001", "--api"][..],
        &["--api=nowhere"],
        &["--api-token=secret"],
        &["--api", "--api-token=a b"],
        &["--api", "--api-memory=much"],
    ] {
        assert!(parse(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn every_flag_of_a_probe_arrives() {
    let all = role(&[
        "probe",
        "wss://a.example/ws?x",
        "--max-idle=1m",
        "--max-message=64KiB",
        "--timeout=2s",
        "--expect=idle>=60s,ping",
        "--expect=h2",
        "--json",
        "--api-url=http://a.example",
        "--api-token=secret",
        "--subprotocol=a,b",
        "--header=Cookie: a=b",
        "--header=X-A: 1",
        "--http2",
        "--cacert=ca.pem",
        "--connect-to=127.0.0.1:9000",
    ]);
    let Ok(Role::Probe(config, Output { json: true })) = all else {
        panic!("{all:?}");
    };
    let headers = [("cookie", "a=b"), ("x-a", "1")];
    let headers = headers.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
    let expected = ProbeConfig {
        url: "wss://a.example/ws?x".parse().unwrap(),
        connect_to: Some("127.0.0.1:9000".parse().unwrap()),
        trust: Trust::File("ca.pem".into()),
        headers: headers.into_iter().collect(),
        subprotocols: ["a", "b"].map(|name| name.parse().unwrap()).into(),
        http2: true,
        timeout: Duration::from_secs(2),
        max_message: 65_536,
        max_idle: Some(Duration::from_secs(60)),
        api: Some("http://a.example".parse().unwrap()),
        api_token: Some("secret".parse().unwrap()),
        expectations: ["idle>=60s", "ping", "h2"]
            .map(|text| text.parse().unwrap())
            .into(),
    };
    assert_eq!(config, expected);
    let health = role(&["probe", "--health", "8002/healthz"]);
    assert!(health.is_err(), "a port alone has no path");
    let health = role(&[
        "probe",
        "--health",
        "https://a.example/healthz",
        "--insecure",
    ]);
    assert!(
        matches!(&health, Ok(Role::Health(config)) if config.trust == Trust::Anyone),
        "{health:?}"
    );
}

#[test]
fn a_wrong_flag_of_a_probe_is_named() {
    for (args, told) in [
        (
            &["--expect=pong"][..],
            "'--expect <CHECK>': write one of handshake",
        ),
        (
            &["--expect=idle>=x"],
            "'--expect <CHECK>': write a bound of time",
        ),
        (
            &["--header=Upgrade: x"],
            "'--header <HEADER>': the probe sets this header itself",
        ),
        (&["--cacert=ca.pem"], "--cacert is for a wss URL"),
        (
            &["--max-idle=30s", "--expect=idle>=30s,idle>=31s"],
            "--expect idle>=31s cannot be met: --max-idle is less",
        ),
        (
            &["--max-idle=off", "--expect=keepalive-ping"],
            "--expect keepalive-ping cannot be met: --max-idle is off",
        ),
        (
            &["--expect=size>=32MiB"],
            "--expect size>=32MiB cannot be met: --max-message is less",
        ),
        (
            &["--expect=subprotocol"],
            "--expect subprotocol cannot be met: no --subprotocol is offered",
        ),
        (
            &["--expect=far-end"],
            "--expect far-end cannot be met: there is no --api-url",
        ),
        (&["--max-idle=never"], "'--max-idle <DURATION>'"),
        (
            &["--health", "--json"],
            "'--health' cannot be used with '--json'",
        ),
        (&["--api-token=a"], "--api-url"),
    ] {
        let error = role(&[&["probe", "ws://a.example/"], args].concat()).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{args:?}");
        assert!(error.to_string().contains(told), "{args:?}: {error}");
    }
    let error = role(&["probe", "ftp://a.example"]).unwrap_err();
    assert!(error.to_string().contains("write a URL such as"), "{error}");
}
