//! The report of a probe: what each check found, as a table and in JSON.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::config::{Check, Expectation, ProbeConfig, Quantity};

/// Columns of a table's line.
const COLUMNS: usize = 100;

/// Columns before the sentence of a check: its name and its verdict.
const INDENT: usize = 26;

/// Outcome of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Pass,
    /// It passes up to a limit, which was measured.
    Limited,
    Fail,
    /// It could not be made.
    Skipped,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Limited => "limited",
            Self::Fail => "fail",
            Self::Skipped => "skipped",
        }
    }
}

/// A check that was made, or the reason for which it was not.
#[derive(Debug, Clone)]
pub(super) struct Finding {
    pub(super) check: Check,
    pub(super) verdict: Verdict,
    /// The outcome, in words.
    detail: String,
    /// The value that an expectation may bound.
    measured: Option<Quantity>,
    /// Fields of the report in JSON.
    data: Map<String, Value>,
}

impl Finding {
    pub(super) fn new(check: Check, verdict: Verdict, detail: impl Into<String>) -> Self {
        Self {
            check,
            verdict,
            detail: detail.into(),
            measured: None,
            data: Map::new(),
        }
    }

    pub(super) fn pass(check: Check, detail: impl Into<String>) -> Self {
        Self::new(check, Verdict::Pass, detail)
    }

    pub(super) fn fail(check: Check, detail: impl Into<String>) -> Self {
        Self::new(check, Verdict::Fail, detail)
    }

    pub(super) fn skipped(check: Check, detail: impl Into<String>) -> Self {
        Self::new(check, Verdict::Skipped, detail)
    }

    /// The same finding, with a value that an expectation may bound.
    pub(super) fn measuring(self, measured: Quantity) -> Self {
        Self {
            measured: Some(measured),
            ..self
        }
    }

    /// The same finding, with these fields in JSON.
    pub(super) fn with(mut self, data: Value) -> Self {
        if let Value::Object(fields) = data {
            self.data.extend(fields);
        }
        self
    }

    fn json(&self) -> Value {
        let mut fields = self.data.clone();
        fields.insert("result".to_owned(), self.verdict.word().into());
        fields.insert("detail".to_owned(), self.detail.clone().into());
        fields.into()
    }
}

/// The report of a probe, which grows while the probe runs.
#[derive(Debug)]
pub struct Report {
    url: String,
    expectations: Vec<Expectation>,
    /// Whether lines on stderr say what is being done.
    shows_progress: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    findings: Vec<Finding>,
    is_complete: bool,
}

impl Report {
    /// An empty report of a probe with this configuration.
    #[must_use]
    pub fn new(config: &ProbeConfig, shows_progress: bool) -> Self {
        Self {
            url: config.url.to_string(),
            expectations: config.expectations.clone(),
            shows_progress,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says on stderr what is being done, if somebody reads it.
    pub(super) fn progress(&self, step: &str) {
        if self.shows_progress {
            // Nothing is lost if it cannot be written.
            let _ = writeln!(io::stderr(), "probe: {step}");
        }
    }

    pub(super) fn add(&self, finding: Finding) {
        self.state().findings.push(finding);
    }

    pub(super) fn complete(&self) {
        self.state().is_complete = true;
    }

    /// Whether the handshake has succeeded, and every expectation is met.
    #[must_use]
    pub fn is_good(&self) -> bool {
        let state = self.state();
        let is_open = state
            .findings
            .iter()
            .any(|finding| finding.check == Check::Handshake && finding.verdict == Verdict::Pass);
        let mut expectations = self.expectations.iter();
        is_open && expectations.all(|expectation| state.meets(expectation))
    }

    /// The report as a table, with a line for each check and each expectation.
    #[must_use]
    pub fn table(&self) -> String {
        let state = self.state();
        let mut table = format!("{}\n\n", self.url);
        for finding in &state.findings {
            let (name, verdict) = (finding.check.name(), finding.verdict.word());
            put_row(&mut table, name, verdict, &finding.detail);
        }
        if !state.is_complete {
            table.push_str("\nThe probe was stopped: this is what it has found so far.\n");
        }
        if !self.expectations.is_empty() {
            table.push('\n');
        }
        for expectation in &self.expectations {
            let _ = writeln!(table, "{}", state.line_of(expectation));
        }
        table
    }

    /// The report as a JSON object, as docs/probe.md describes it.
    #[must_use]
    pub fn json(&self) -> String {
        let is_good = self.is_good();
        let state = self.state();
        let checks: Map<_, _> = state
            .findings
            .iter()
            .map(|finding| (finding.check.name().to_owned(), finding.json()))
            .collect();
        let expectations: Vec<_> = self
            .expectations
            .iter()
            .map(|expectation| {
                json!({ "expect": expectation.to_string(), "met": state.meets(expectation) })
            })
            .collect();
        let report = json!({
            "url": self.url,
            "complete": state.is_complete,
            "ok": is_good,
            "checks": checks,
            "expectations": expectations,
        });
        format!("{report:#}\n")
    }
}

impl State {
    fn finding(&self, check: Check) -> Option<&Finding> {
        let mut findings = self.findings.iter();
        findings.find(|finding| finding.check == check)
    }

    fn meets(&self, expectation: &Expectation) -> bool {
        self.finding(expectation.check).is_some_and(|finding| {
            expectation.is_met(finding.verdict == Verdict::Pass, finding.measured)
        })
    }

    /// Whether an expectation is met, in words.
    fn line_of(&self, expectation: &Expectation) -> String {
        match self.finding(expectation.check) {
            _ if self.meets(expectation) => format!("{expectation}: met"),
            Some(finding) => format!("{expectation}: not met ({})", finding.detail),
            None => format!("{expectation}: not met (the check was not made)"),
        }
    }
}

/// Appends a row: a name, a verdict, and a sentence that is wrapped beside them.
fn put_row(table: &mut String, name: &str, verdict: &str, detail: &str) {
    let mut row = format!("{name:<17}{verdict:<9}");
    let mut columns = row.chars().count();
    for word in detail.split(' ') {
        let length = word.chars().count();
        if columns > INDENT && columns + length > COLUMNS {
            let _ = writeln!(table, "{}", row.trim_end());
            (row, columns) = (" ".repeat(INDENT), INDENT);
        }
        row.push_str(word);
        row.push(' ');
        columns += length + 1;
    }
    let _ = writeln!(table, "{}", row.trim_end());
}

/// A time as a person reads it: `1.25 ms`, `3.02 s`.
pub(super) fn shown(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match seconds {
        0.0..0.001 => format!("{:.3} ms", seconds * 1e3),
        0.001..1.0 => format!("{:.1} ms", seconds * 1e3),
        1.0..10.0 => format!("{seconds:.2} s"),
        _ => format!("{seconds:.1} s"),
    }
}

/// A time in milliseconds, with microseconds.
pub(super) fn milliseconds(time: Duration) -> Value {
    ((time.as_secs_f64() * 1e6).round() / 1e3).into()
}

/// A time in seconds, with milliseconds.
pub(super) fn seconds(time: Duration) -> Value {
    ((time.as_secs_f64() * 1e3).round() / 1e3).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(expectations: &[&str]) -> Report {
        let expectations = expectations.iter().map(|text| text.parse().unwrap());
        Report {
            url: "ws://a.example/".to_owned(),
            expectations: expectations.collect(),
            shows_progress: false,
            state: Mutex::default(),
        }
    }

    #[test]
    fn a_report_is_good_if_there_was_a_session_and_expectations_are_met() {
        let expecting = report(&["ping", "idle>=60s"]);
        assert!(!expecting.is_good());
        expecting.add(Finding::pass(Check::Handshake, "101"));
        expecting.add(Finding::pass(Check::Ping, "answered"));
        assert!(!expecting.is_good());
        let idle = Finding::new(Check::Idle, Verdict::Limited, "cut after 60.1 s");
        let measured = Quantity::Time(Duration::from_millis(60_100));
        expecting.add(idle.measuring(measured));
        assert!(expecting.is_good());
        let bare = report(&[]);
        assert!(!bare.is_good());
        bare.add(Finding::fail(Check::Handshake, "refused"));
        assert!(!bare.is_good());
    }

    #[test]
    fn a_report_that_is_not_complete_says_so() {
        let report = report(&["ping"]);
        let words = "word ".repeat(40);
        report.add(Finding::pass(Check::Handshake, words.trim()).with(json!({ "status": 101 })));
        let table = report.table();
        assert!(table.contains("stopped"), "{table}");
        assert!(table.contains("ping: not met"), "{table}");
        assert!(table.lines().all(|line| line.len() <= COLUMNS), "{table}");
        let json: Value = serde_json::from_str(&report.json()).unwrap();
        assert_eq!(json["checks"]["handshake"]["status"], 101);
        assert_eq!(json["complete"], false);
        report.complete();
        assert!(!report.table().contains("stopped"));
    }

    #[test]
    fn times_have_the_unit_that_suits_them() {
        for (micros, text) in [
            (250, "0.250 ms"),
            (1_250, "1.2 ms"),
            (3_021_000, "3.02 s"),
            (60_000_000, "60.0 s"),
        ] {
            assert_eq!(shown(Duration::from_micros(micros)), text);
        }
    }
}
