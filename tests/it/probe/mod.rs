//! `echobeat probe`: what it finds out about servers, and about what lies before them.

mod checks;
mod far_end;
mod foreign;
mod program;
mod silence;
mod stub;

use std::process::Output;

use serde_json::Value;

use crate::cli::echobeat;
use crate::support::soon;

/// Flags of a probe that is not silent for long, and tries no large messages.
const QUICK: [&str; 2] = ["--max-idle=off", "--max-message=1KiB"];

/// The exit code and the report of a probe.
struct Found {
    exit_code: Option<i32>,
    report: Value,
}

impl Found {
    fn result(&self, check: &str) -> &str {
        let result = &self.report["checks"][check]["result"];
        result
            .as_str()
            .unwrap_or_else(|| panic!("{check}: {:#}", self.report))
    }

    fn detail(&self, check: &str) -> &str {
        let detail = &self.report["checks"][check]["detail"];
        detail
            .as_str()
            .unwrap_or_else(|| panic!("{check}: {:#}", self.report))
    }

    /// A field of a check's, by its JSON pointer.
    fn field(&self, check: &str, pointer: &str) -> &Value {
        let field = self.report["checks"][check].pointer(pointer);
        field.unwrap_or_else(|| panic!("{check}{pointer}: {:#}", self.report))
    }

    fn number(&self, check: &str, pointer: &str) -> f64 {
        let number = self.field(check, pointer).as_f64();
        number.unwrap_or_else(|| panic!("{check}{pointer}: {:#}", self.report))
    }

    /// Expects these results.
    fn expect(&self, results: &[(&str, &str)]) {
        for (check, result) in results {
            assert_eq!(self.result(check), *result, "{check}: {:#}", self.report);
        }
    }
}

/// Probes `url`.
async fn probe(url: &str, flags: &[&str]) -> Found {
    let Output {
        status,
        stdout,
        stderr,
    } = run(&[&["probe", url, "--json"], flags].concat()).await;
    let report = serde_json::from_slice(&stdout).unwrap_or_else(|error| {
        panic!("{error}: {}", String::from_utf8_lossy(&stderr));
    });
    Found {
        exit_code: status.code(),
        report,
    }
}

async fn run(args: &[&str]) -> Output {
    soon(echobeat(args).output())
        .await
        .expect("the program runs")
}

/// The report of a probe that makes as many checks as it can.
pub async fn with_everything() -> Value {
    far_end::cut_in_between().await.report
}
