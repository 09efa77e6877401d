//! A real browser: Chromium without a window, driven by ChromeDriver.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use bytes::Bytes;
use fantoccini::actions::{InputSource, KeyAction, KeyActions};
use fantoccini::{Client, ClientBuilder, Locator};
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::support::soon;

/// A browser with one empty tab. [Close](Self::close) it: a test that fails leaves it to its driver,
/// which ends with the test, and takes it along.
pub struct Browser {
    client: Client,
    driver: Child,
    /// Where the driver listens, on this machine.
    port: u16,
}

impl Browser {
    /// Starts a browser with a new profile, of a name that no other test uses.
    pub async fn start(profile: &str) -> Self {
        Self::start_in(&new_directory(profile), true).await
    }

    /// Starts a browser that trusts the authority of this file, and no bad certificate.
    pub async fn trusting(profile: &str, authority: &Path) -> Self {
        let home = new_directory(profile);
        trust(authority, &home).await;
        Self::start_in(&home, false).await
    }

    async fn start_in(home: &Path, accepts_bad_certificates: bool) -> Self {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .env("HOME", home)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("ChromeDriver is installed");
        let port = port(&mut driver).await;
        let options = json!({
            "acceptInsecureCerts": accepts_bad_certificates,
            "goog:loggingPrefs": { "browser": "ALL" },
            "goog:chromeOptions": { "args": arguments(home) },
        });
        let Value::Object(capabilities) = options else {
            unreachable!("it is an object");
        };
        let client = soon(
            ClientBuilder::new(HttpConnector::new())
                .capabilities(capabilities)
                .connect(&format!("http://127.0.0.1:{port}")),
        )
        .await
        .expect("Chromium starts");
        Self {
            client,
            driver,
            port,
        }
    }

    /// Loads a page.
    pub async fn open(&self, url: &str) {
        soon(self.client.goto(url)).await.expect("the page loads");
    }

    /// Loads a page, and returns its source, or the error if that fails. A page about a certificate
    /// that is not accepted is a page too.
    pub async fn try_open(&self, url: &str) -> String {
        match soon(self.client.goto(url)).await {
            Ok(()) => soon(self.client.source()).await.expect("a page"),
            Err(error) => error.to_string(),
        }
    }

    /// Runs a script, and returns what it calls its last argument with.
    pub async fn run(&self, script: &str, arguments: Vec<Value>) -> Value {
        soon(self.client.execute_async(script, arguments))
            .await
            .expect("the script ends")
    }

    /// Clicks the element with this `id`.
    pub async fn click(&self, id: &str) {
        let element = soon(self.client.find(Locator::Id(id))).await.expect(id);
        soon(element.click()).await.expect("it can be clicked");
    }

    /// Presses keys in the element with this `id`, in place of what it holds.
    pub async fn fill(&self, id: &str, keys: &str) {
        let element = soon(self.client.find(Locator::Id(id))).await.expect(id);
        soon(element.clear()).await.expect("it can be cleared");
        soon(element.send_keys(keys)).await.expect("it takes keys");
    }

    /// Presses keys one after another, wherever the focus is, with `held` down all the while.
    pub async fn press(&self, held: Option<char>, keys: &str) {
        let mut actions = KeyActions::new("keyboard".to_owned());
        if let Some(value) = held {
            actions = actions.then(KeyAction::Down { value });
        }
        for value in keys.chars() {
            actions = actions
                .then(KeyAction::Down { value })
                .then(KeyAction::Up { value });
        }
        if let Some(value) = held {
            actions = actions.then(KeyAction::Up { value });
        }
        soon(self.client.perform_actions(actions))
            .await
            .expect("keys can be pressed");
    }

    /// Loads the page again.
    pub async fn reload(&self) {
        soon(self.client.refresh()).await.expect("the page loads");
    }

    /// Has the browser emulate another screen, or other preferences of its user, by a command of
    /// the Chrome DevTools Protocol.
    pub async fn emulate(&self, command: &str, params: Value) {
        let body = json!({ "cmd": format!("Emulation.{command}"), "params": params });
        self.command("goog/cdp/execute", &body).await;
    }

    /// What the console has of warnings and errors since it was last asked.
    pub async fn complaints(&self) -> Vec<String> {
        let log = self.command("se/log", &json!({ "type": "browser" })).await;
        let entries = log.as_array().expect("a log");
        let complaints = entries
            .iter()
            .filter(|entry| entry["level"] == "SEVERE" || entry["level"] == "WARNING");
        complaints.map(Value::to_string).collect()
    }

    /// A command of ChromeDriver's own, which fantoccini does not know.
    async fn command(&self, path: &str, body: &Value) -> Value {
        let session = soon(self.client.session_id()).await.expect("a session");
        let session = session.expect("a session");
        let url = format!("http://127.0.0.1:{}/session/{session}/{path}", self.port);
        let request = Request::post(url)
            .body(Full::from(body.to_string()))
            .expect("a good request");
        let driver = HttpClient::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
        let response = soon(driver.request(request)).await.expect("an answer");
        let body = soon(response.into_body().collect()).await.expect("a body");
        let answer: Value = serde_json::from_slice(&body.to_bytes()).expect("JSON");
        assert!(answer["value"]["error"].is_null(), "{answer}");
        answer["value"].clone()
    }

    pub async fn close(mut self) {
        soon(self.client.close()).await.expect("Chromium ends");
        soon(self.driver.kill()).await.expect("ChromeDriver ends");
    }
}

/// Has Chromium trust the authority of a file: on Linux it reads the database of NSS in its home.
async fn trust(authority: &Path, home: &Path) {
    let database = home.join(".pki/nssdb");
    std::fs::create_dir_all(&database).expect("a directory");
    let database = format!("sql:{}", database.display());
    let steps: [&[&str]; 2] = [
        &["-N", "--empty-password"],
        &["-A", "-t", "C,,", "-n", "authority", "-i"],
    ];
    for (step, file) in steps.into_iter().zip([None, Some(authority)]) {
        let mut certutil = Command::new("certutil");
        certutil.args(["-d", &database]).args(step).args(file);
        let status = soon(certutil.kill_on_drop(true).status()).await;
        assert!(status.expect("certutil runs").success(), "{step:?}");
    }
}

/// The port that the driver chose.
async fn port(driver: &mut Child) -> u16 {
    let mut lines = BufReader::new(driver.stdout.take().expect("piped")).lines();
    let port = async {
        while let Some(line) = lines.next_line().await.expect("UTF-8") {
            if let Some((_, port)) = line.rsplit_once("started successfully on port ") {
                return port.trim_end_matches('.').parse().expect("a port");
            }
        }
        panic!("ChromeDriver does not start");
    };
    soon(port).await
}

/// What Chromium needs to run as root without a window, and without a word to the internet.
fn arguments(profile: &Path) -> Vec<String> {
    let flags = [
        "headless",
        "no-sandbox",
        "disable-gpu",
        "disable-quic",
        "no-first-run",
        "disable-background-networking",
        "disable-component-update",
        "disable-sync",
        "window-size=1280,1000",
    ];
    let profile = format!("user-data-dir={}", profile.display());
    flags
        .map(str::to_owned)
        .into_iter()
        .chain([profile])
        .collect()
}

fn new_directory(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("browser")
        .join(name);
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).expect("a directory");
    directory
}
