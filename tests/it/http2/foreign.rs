//! Clients of HTTP/2 that share no code with the server.

use std::env;

use tokio::process::Command;

use crate::browser::Browser;
use crate::cli::Running;
use crate::support::soon;
use crate::tls::Issued;

/// The log lines of sessions that open, all on streams of one connection.
async fn opened_on_one_connection(running: &mut Running, sessions: usize) {
    let mut connections = Vec::new();
    for _ in 0..sessions {
        let open = running.logs("open path=").await;
        assert!(open.contains("transport=\"h2\""), "{open}");
        let number = open.split("conn=").nth(1).expect("a connection");
        connections.extend(number.split(' ').next().map(str::to_owned));
    }
    connections.dedup();
    assert_eq!(connections.len(), 1, "{connections:?}");
}

#[tokio::test]
#[ignore = "needs Python with h2, as in tests/clients/requirements.txt, at $PYTHON or python3"]
async fn sessions_of_pythons_h2_are_echoed() {
    let issued = Issued::new("http2-python");
    let mut running = issued.run(&[]).await;
    let python = env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
    let client = Command::new(python)
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/clients/http2.py"
        ))
        .arg(running.address().port().to_string())
        .arg(issued.authority_file())
        .kill_on_drop(true)
        .output();
    let output = soon(client).await.expect("Python runs");
    assert!(output.status.success(), "{output:?}");
    opened_on_one_connection(&mut running, 3).await;
    for stream in [1, 3, 5] {
        let end = running.logs("connection: end").await;
        let code = format!("code={} clean=true", 4000 + stream);
        assert!(end.contains(&code), "{end}");
    }
}

#[tokio::test]
#[ignore = "needs Chromium and ChromeDriver"]
async fn chromium_connects_websockets_on_the_connection_of_the_page() {
    let issued = Issued::new("http2-chromium");
    let mut running = issued.run(&[]).await;
    let origin = format!("localhost:{}", running.address().port());
    let browser = Browser::start("http2-chromium").await;
    browser.open(&format!("https://{origin}/")).await;
    let script = "
        const [origin, done] = arguments;
        const echoes = [0, 1, 2].map((number) => new Promise((resolve, reject) => {
            const ws = new WebSocket(`wss://${origin}/session-${number}`);
            ws.onopen = () => ws.send(`hello ${number}`);
            ws.onmessage = (event) => resolve(event.data);
            ws.onerror = () => reject(`session ${number} failed`);
        }));
        Promise.all(echoes).then(done, done);";
    let echoes = browser.run(script, vec![origin.into()]).await;
    assert_eq!(echoes, serde_json::json!(["hello 0", "hello 1", "hello 2"]));
    // The page at / has one of its own.
    opened_on_one_connection(&mut running, 4).await;
    browser.close().await;
}
