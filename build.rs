//! Tells the program, for its `--version`, the target and the commit from which it is built.
//!
//! The commit is looked for in builds that are optimised: others would be built again after each
//! commit. It is that of `ECHOBEAT_COMMIT` if this is set, of the package if it is one that
//! `cargo package` made, or of the Git repository whose root this is. Otherwise it is left out.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

/// File in which `cargo package` keeps the commit.
const PACKAGED: &str = ".cargo_vcs_info.json";

/// Sources of the program: what differs from the commit in any of these is `-dirty`.
const SOURCES: [&str; 4] = ["Cargo.lock", "Cargo.toml", "build.rs", "src"];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=ECHOBEAT_COMMIT");
    if env::var_os("CARGO_FEATURE_CLI").is_none() {
        return;
    }
    if let Ok(target) = env::var("TARGET") {
        println!("cargo::rustc-env=ECHOBEAT_TARGET={target}");
    }
    let given = env::var("ECHOBEAT_COMMIT").ok();
    if let Some(commit) = given.filter(|commit| !commit.is_empty()).or_else(found) {
        println!("cargo::rustc-env=ECHOBEAT_COMMIT={commit}");
    }
}

/// The commit that this directory is of.
fn found() -> Option<String> {
    if Path::new(PACKAGED).exists() {
        return packaged();
    }
    // A repository further up is that of another project, which has a copy of this one.
    let is_optimised = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    (is_optimised && Path::new(".git").exists())
        .then(checked_out)
        .flatten()
}

/// The commit that `cargo package` was run on.
fn packaged() -> Option<String> {
    let info = fs::read_to_string(PACKAGED).ok()?;
    let (_, behind) = info.split_once("\"sha1\"")?;
    let commit = behind.split('"').nth(1)?;
    Some(with_state(commit, info.contains("\"dirty\": true")))
}

/// The commit that is checked out.
fn checked_out() -> Option<String> {
    let head = git(&["rev-parse", "--git-path", "logs/HEAD"])?;
    let commit = git(&["rev-parse", "HEAD"])?;
    for path in SOURCES.iter().chain([&head.as_str()]) {
        println!("cargo::rerun-if-changed={path}");
    }
    let status = ["status", "--porcelain", "--"];
    let changes = git(&[&status[..], &SOURCES].concat())?;
    Some(with_state(&commit, !changes.is_empty()))
}

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// A short form of the commit, and whether the sources differ from it.
fn with_state(commit: &str, is_dirty: bool) -> String {
    let short: String = commit.chars().take(12).collect();
    let state = if is_dirty { "-dirty" } else { "" };
    format!("{short}{state}")
}
