//! The echobeat that is measured, built as it is released.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::Failure;

/// The package of echobeat.
const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");

/// Builds echobeat alone, so that no feature is on because the benchmark needs it, and returns where
/// the program is.
pub fn echobeat() -> Result<PathBuf, Failure> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command.args(["build", "--profile=dist", "--bin=echobeat"]);
    command.args(["--manifest-path", MANIFEST]);
    // Variables of the package that runs. Some build scripts run again when they change, ring's among
    // them, and then everything is built again that needs it.
    for (name, _) in env::vars_os() {
        let shown = name.to_string_lossy();
        let is_of_package = shown.starts_with("CARGO_PKG_") || shown.starts_with("CARGO_MANIFEST_");
        if is_of_package || shown == "OUT_DIR" {
            command.env_remove(&name);
        }
    }
    // Where the benchmark itself was built.
    if let Some(target) = Path::new(env!("CARGO_TARGET_TMPDIR")).parent() {
        command.arg("--target-dir").arg(target);
    }
    command.arg("--message-format=json-render-diagnostics");
    let output = command.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err("echobeat cannot be built".into());
    }
    let messages = output.stdout.split(|&byte| byte == b'\n');
    let mut programs = messages.filter_map(executable);
    programs.next().ok_or("cargo names no program".into())
}

/// The program that a message of cargo's is about, if it is about one.
fn executable(message: &[u8]) -> Option<PathBuf> {
    let message: Value = serde_json::from_slice(message).ok()?;
    message["executable"].as_str().map(PathBuf::from)
}
