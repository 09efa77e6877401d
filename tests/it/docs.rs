//! The documentation: its length, its links, and that its tables list what the program has.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use echobeat::Check;
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use serde_json::Value;

use crate::support::{TestServer, soon, upgrade_request};
use crate::{cli, metrics, probe};

/// Most lines of the README.
const LINES: usize = 120;

/// Most words of the README, as `wc -w` counts them.
const WORDS: usize = 900;

/// Most characters of a line.
const COLUMNS: usize = 100;

/// A Markdown file.
struct Document {
    path: PathBuf,
    text: String,
}

impl Document {
    /// Reads a file of this repository.
    fn read(name: &str) -> Self {
        Self::at(root().join(name))
    }

    fn at(path: PathBuf) -> Self {
        let read = fs::read_to_string(&path);
        let text = read.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self { path, text }
    }

    fn events(&self) -> Parser<'_> {
        Parser::new_ext(&self.text, Options::ENABLE_TABLES)
    }

    /// The targets of its links and images.
    fn links(&self) -> Vec<String> {
        let targets = self.events().filter_map(|event| match event {
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                Some(dest_url.into_string())
            }
            _ => None,
        });
        targets.collect()
    }

    /// The anchors of its headings, as GitHub makes them.
    fn anchors(&self) -> BTreeSet<String> {
        let mut seen = BTreeMap::<String, usize>::new();
        let mut anchors = BTreeSet::new();
        for heading in self.headings() {
            let anchor = anchor(&heading);
            let before = seen.entry(anchor.clone()).or_default();
            anchors.insert(match *before {
                0 => anchor,
                repeated => format!("{anchor}-{repeated}"),
            });
            *before += 1;
        }
        anchors
    }

    fn headings(&self) -> Vec<String> {
        let mut headings = Vec::new();
        let mut heading = None;
        for event in self.events() {
            match event {
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::End(TagEnd::Heading(_)) => headings.extend(heading.take()),
                Event::Text(text) | Event::Code(text) => {
                    if let Some(heading) = &mut heading {
                        heading.push_str(&text);
                    }
                }
                _ => {}
            }
        }
        headings
    }

    /// The tables below a heading, up to the next heading: each row as the code spans of its cells.
    fn tables_under(&self, heading: &str) -> Vec<Vec<Vec<String>>> {
        let mut rows = Vec::new();
        let (mut title, mut is_title, mut is_row) = (String::new(), false, false);
        for event in self.events() {
            match event {
                Event::Start(Tag::Heading { .. }) => (title, is_title) = (String::new(), true),
                Event::End(TagEnd::Heading(_)) => is_title = false,
                Event::Text(text) if is_title => title.push_str(&text),
                Event::Start(Tag::TableRow) if title == heading => {
                    is_row = true;
                    rows.push(Vec::new());
                }
                Event::End(TagEnd::TableRow) => is_row = false,
                Event::Start(Tag::TableCell) if is_row => {
                    rows.last_mut().expect("a row").push(Vec::new());
                }
                Event::Code(code) if is_row => {
                    let cell = rows.last_mut().and_then(|row| row.last_mut());
                    cell.expect("a cell").push(code.into_string());
                }
                _ => {}
            }
        }
        assert!(!rows.is_empty(), "no table under {heading:?}");
        rows
    }

    /// All code spans below a heading, up to the next one.
    fn code_under(&self, heading: &str) -> BTreeSet<String> {
        let (mut title, mut is_title) = (String::new(), false);
        let mut spans = BTreeSet::new();
        for event in self.events() {
            match event {
                Event::Start(Tag::Heading { .. }) => (title, is_title) = (String::new(), true),
                Event::End(TagEnd::Heading(_)) => is_title = false,
                Event::Text(text) if is_title => title.push_str(&text),
                Event::Code(code) if title == heading => {
                    spans.insert(code.into_string());
                }
                _ => {}
            }
        }
        spans
    }

    /// The code spans of the first column of the tables under these headings.
    fn listed_under(&self, headings: &[&str]) -> Vec<String> {
        let tables = headings
            .iter()
            .flat_map(|heading| self.tables_under(heading));
        tables
            .flat_map(|row| row.into_iter().next().unwrap_or_default())
            .collect()
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The anchor of a heading: in lower case, without punctuation, and with hyphens for spaces.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter_map(|c| match c {
        ' ' => Some('-'),
        '-' | '_' => Some(c),
        c if c.is_alphanumeric() => Some(c),
        _ => None,
    });
    kept.flat_map(char::to_lowercase).collect()
}

/// The Markdown files of a directory, which a package may lack.
fn documents(directory: &str) -> Vec<Document> {
    let Ok(entries) = fs::read_dir(root().join(directory)) else {
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let is_markdown = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "md");
    paths.filter(is_markdown).map(Document::at).collect()
}

/// The files called `README.md` below a directory.
fn readmes(directory: &Path) -> Vec<Document> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory") {
        let entry = entry.expect("an entry");
        let (name, path) = (entry.file_name(), entry.path());
        let is_hidden = name.to_string_lossy().starts_with('.');
        if entry.file_type().expect("a type").is_dir() && !is_hidden {
            found.extend(readmes(&path));
        } else if name == "README.md" {
            found.push(Document::at(path));
        }
    }
    found
}

fn all() -> Vec<Document> {
    let directories = ["", "docs", "benches", ".github", ".github/ISSUE_TEMPLATE"];
    let mut all: Vec<_> = directories.into_iter().flat_map(documents).collect();
    for directory in ["contrib", "tests"] {
        all.extend(readmes(&root().join(directory)));
    }
    all
}

/// Whether a link leads out of this repository, or to a server that the reader runs.
fn is_foreign(link: &str) -> bool {
    ["https://", "http://", "mailto:"]
        .iter()
        .any(|scheme| link.starts_with(scheme))
}

/// The fault of a link of `document`, if it has one.
fn fault(document: &Document, link: &str) -> Option<&'static str> {
    let (file, anchor) = match link.split_once('#') {
        Some((file, anchor)) => (file, Some(anchor)),
        None => (link, None),
    };
    let directory = document.path.parent().expect("a directory");
    let path = match file {
        "" => document.path.clone(),
        file => directory.join(file),
    };
    if !path.exists() {
        return Some("there is no such file");
    }
    let known = |anchor| Document::at(path).anchors().contains(anchor);
    let is_missing = anchor.is_some_and(|anchor| !known(anchor));
    is_missing.then_some("there is no such heading")
}

/// Lines that are too long, other than rows of tables and links that fill a line.
fn long_lines(document: &Document) -> Vec<&str> {
    let is_link = |line: &str| {
        let line = line.trim_start_matches(['!', '<']);
        !line.contains(' ') || line.starts_with('[') && line.ends_with(')')
    };
    let is_long = |line: &&str| line.chars().count() > COLUMNS;
    let lines = document.text.lines().filter(is_long);
    lines
        .filter(|line| !line.starts_with('|') && !is_link(line))
        .collect()
}

#[test]
fn the_readme_is_short() {
    let readme = Document::read("README.md");
    let (lines, words) = (readme.text.lines(), readme.text.split_whitespace());
    let (lines, words) = (lines.count(), words.count());
    assert!(lines <= LINES, "{lines} lines");
    assert!(words <= WORDS, "{words} words");
}

#[test]
fn lines_of_the_readme_and_of_docs_fit_a_terminal() {
    let mut documents = documents("docs");
    assert!(!documents.is_empty());
    documents.push(Document::read("README.md"));
    let long: Vec<&str> = documents.iter().flat_map(long_lines).collect();
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn every_link_leads_somewhere() {
    let all = all();
    for name in ["README.md", "CHANGELOG.md", "docs/architecture.md"] {
        let is_there = all.iter().any(|document| document.path.ends_with(name));
        assert!(is_there, "{name}");
    }
    let mut faults = Vec::new();
    let mut checked = 0;
    for document in &all {
        for link in document.links().iter().filter(|link| !is_foreign(link)) {
            let fault = fault(document, link);
            faults
                .extend(fault.map(|fault| format!("{}: {link}: {fault}", document.path.display())));
            checked += 1;
        }
    }
    assert!(checked > 0);
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn the_page_on_crates_io_has_no_link_into_the_repository() {
    let page = Document::read("contrib/crate.md");
    assert!(!page.headings().is_empty());
    let links = page.links();
    assert!(links.iter().all(|link| is_foreign(link)), "{links:?}");
}

/// The flags in a long help, each with its default, where the help has one for it.
async fn flags(command: &[&str]) -> BTreeMap<String, Option<String>> {
    let help = soon(cli::echobeat(&[command, &["--help"]].concat()).output());
    let help = help.await.expect("the program runs").stdout;
    let help = String::from_utf8(help).expect("UTF-8");
    let mut flags = BTreeMap::new();
    let mut latest = None;
    for line in help.lines() {
        let line = line.trim();
        let long = line
            .split([' ', '.', '['])
            .find(|word| word.starts_with("--"));
        if let Some(flag) = long.filter(|_| line.starts_with('-')) {
            flags.insert(flag.to_owned(), None);
            latest = Some(flag.to_owned());
        } else if let Some(default) = line.strip_prefix("[default: ")
            && let Some(flag) = &latest
        {
            let default = default.trim_end_matches(']').trim_matches('"');
            flags.insert(flag.clone(), Some(default.to_owned()));
        }
    }
    assert!(flags.len() > 10, "{help}");
    flags
}

/// Checks the tables under `headings` against the help of `command`.
async fn check_flags(command: &[&str], headings: &[&str]) {
    let page = Document::read("docs/flags.md");
    let listed = page.listed_under(headings);
    let is_flag = |code: &&String| code.starts_with("--");
    let name = |code: &String| code.split([' ', '[']).next().unwrap_or_default().to_owned();
    let listed: BTreeSet<String> = listed.iter().filter(is_flag).map(name).collect();
    let flags = flags(command).await;
    let known: BTreeSet<String> = flags.keys().cloned().collect();
    assert_eq!(listed, known, "{command:?}");
    for heading in headings {
        for row in page.tables_under(heading) {
            let shown: Vec<String> = row[0].iter().filter(is_flag).map(name).collect();
            let defaults = shown.iter().filter_map(|flag| flags[flag].clone());
            for default in defaults {
                assert!(row[1].contains(&default), "{shown:?}: {default:?}");
            }
        }
    }
}

#[tokio::test]
async fn the_page_of_flags_has_those_of_help() {
    check_flags(&[], &["Flags of the server", "Flags of both"]).await;
    check_flags(&["proxy"], &["Flags of the proxy", "Flags of both"]).await;
    check_flags(&["probe"], &["Flags of the probe"]).await;
}

/// The names of all fields of a JSON value, but for those of `end`, which the API defines.
fn fields(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                found.insert(name.clone());
                if name != "end" {
                    fields(value, found);
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|value| fields(value, found)),
        _ => {}
    }
}

#[tokio::test]
async fn the_page_of_the_probe_has_its_checks_and_the_fields_of_its_report() {
    let page = Document::read("docs/probe.md");
    let listed = page.listed_under(&["Checks"]);
    let names = Check::ALL.map(|check| check.name().to_owned());
    assert_eq!(BTreeSet::from_iter(listed), BTreeSet::from(names));
    let report = probe::with_everything().await;
    let mut found = BTreeSet::new();
    fields(&report, &mut found);
    let explained: BTreeSet<String> = page.code_under("The report in JSON");
    let missing: Vec<_> = found.difference(&explained).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// The name of a step as it is written: it ends before the value or the time.
fn step(written: &str) -> String {
    let end = written.find([':', '@', ',', ' ']);
    written[..end.unwrap_or(written.len())].to_owned()
}

#[tokio::test]
async fn the_page_of_faults_has_the_steps_that_a_bad_one_is_told_of() {
    let server = TestServer::start().await;
    let refusal = server.ask(upgrade_request("/?do=no-such-step")).await;
    assert_eq!(refusal.status, 400);
    let (_, told) = refusal.body.split_once("are: ").expect("a list");
    let (told, _) = told.split_once(". Behind").expect("the list's end");
    let told: BTreeSet<String> = told.split("; ").map(step).collect();
    assert!(told.len() > 10, "{told:?}");
    let listed = Document::read("docs/faults.md").listed_under(&["Steps"]);
    let listed: BTreeSet<String> = listed.iter().map(|written| step(written)).collect();
    assert_eq!(listed, told);
}

#[tokio::test]
async fn the_page_of_metrics_has_those_that_are_exposed() {
    let server = metrics::with_everything().await;
    let response = server.ask("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let types = response.body.lines().filter_map(|line| {
        let (name, kind) = line.strip_prefix("# TYPE ")?.split_once(' ')?;
        Some((name.to_owned(), kind.to_owned()))
    });
    let exposed: BTreeSet<_> = types.collect();
    assert!(!exposed.is_empty());
    let page = Document::read("docs/metrics.md");
    let own = page.tables_under("Of the server");
    let api = page.tables_under("Of the API");
    let cluster = page.tables_under("Of a cluster");
    let process = page.tables_under("Of the process");
    // Only Linux tells of the process.
    let process = process.into_iter().filter(|_| cfg!(target_os = "linux"));
    let rows = own.into_iter().chain(api).chain(cluster).chain(process);
    let listed: BTreeSet<_> = rows
        .map(|row| match &row[..2] {
            [name, kind] => (name.concat(), kind.concat()),
            _ => panic!("a row needs a name and a type: {row:?}"),
        })
        .collect();
    assert_eq!(listed, exposed);
}
