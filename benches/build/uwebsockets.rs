//! Builds `uwebsockets.cpp` with the source of uWebSockets and uSockets, which the crate
//! `libuwebsockets-sys` contains: one program without TLS, one with OpenSSL, and one that compresses.

use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cc::Build;
use serde_json::Value;

type Failure = Box<dyn Error>;

/// The crate with the source.
const CRATE: &str = "libuwebsockets-sys";

/// The configuration for which Cargo.toml asks for the crate.
const CONFIGURATION: &str = "--cfg=uwebsockets_source";

/// The server.
const SERVER: &str = "uwebsockets.cpp";

/// A program to build.
struct Program {
    /// Its name, and that of the variable that tells the benchmark where it is.
    name: &'static str,
    variable: &'static str,
    /// The macro that chooses the TLS of uSockets.
    tls: &'static str,
    /// Whether there is compression.
    zlib: bool,
    libraries: &'static [&'static str],
    /// Names of the packages that it takes, on Debian.
    packages: &'static str,
}

const PROGRAMS: [Program; 3] = [
    Program {
        name: "uwebsockets",
        variable: "UWEBSOCKETS",
        tls: "LIBUS_NO_SSL",
        zlib: false,
        libraries: &[],
        packages: "g++",
    },
    Program {
        name: "uwebsockets-tls",
        variable: "UWEBSOCKETS_TLS",
        tls: "LIBUS_USE_OPENSSL",
        zlib: false,
        libraries: &["-lssl", "-lcrypto"],
        packages: "g++ and libssl-dev",
    },
    Program {
        name: "uwebsockets-deflate",
        variable: "UWEBSOCKETS_DEFLATE",
        tls: "LIBUS_NO_SSL",
        zlib: true,
        libraries: &["-lz"],
        packages: "g++ and zlib1g-dev",
    },
];

/// Builds all programs.
pub(crate) fn build() -> Result<(), Failure> {
    println!("cargo::rerun-if-changed=build");
    println!("cargo::rerun-if-changed={SERVER}");
    if env::var("CARGO_CFG_TARGET_OS")? != "linux" {
        return Err("it is measured on Linux alone".into());
    }
    let source = source()?.join("uWebSockets");
    for program in PROGRAMS {
        let built = program.build(&source).map_err(|failure| {
            let packages = program.packages;
            format!("on Debian it takes the packages {packages}: {failure}")
        })?;
        println!("cargo::rustc-env={}={}", program.variable, built.display());
    }
    Ok(())
}

/// The directory of the crate, which Cargo fetches if it has not yet.
fn source() -> Result<PathBuf, Failure> {
    let output = Command::new(env::var("CARGO")?)
        .args(["metadata", "--locked", "--format-version=1"])
        .args(["--features=uwebsockets", "--filter-platform"])
        .arg(env::var("TARGET")?)
        .env("CARGO_ENCODED_RUSTFLAGS", CONFIGURATION)
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err("cargo metadata fails".into());
    }
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array();
    let mut packages = packages.into_iter().flatten();
    let package = packages.find(|package| package["name"] == CRATE);
    let manifest = package.and_then(|package| package["manifest_path"].as_str());
    let directory = manifest.and_then(|manifest| Path::new(manifest).parent());
    Ok(directory.ok_or("cargo does not know its source")?.into())
}

impl Program {
    fn build(&self, source: &Path) -> Result<PathBuf, Failure> {
        let sockets = source.join("uSockets/src");
        let directory = Path::new(&env::var("OUT_DIR")?).join(self.name);
        let mut c = self.compiler(&sockets, &directory);
        for part in ["bsd", "context", "loop", "socket", "udp"] {
            c.file(sockets.join(part).with_extension("c"));
        }
        c.file(sockets.join("eventing/epoll_kqueue.c"));
        c.file(sockets.join("crypto/openssl.c"));
        let mut objects = c.try_compile_intermediates()?;
        let mut cpp = self.compiler(&sockets, &directory);
        cpp.cpp(true).flag("-std=c++20");
        if !self.zlib {
            cpp.define("UWS_NO_ZLIB", None);
        }
        cpp.include(source.join("src"));
        cpp.file(SERVER).file(sockets.join("crypto/sni_tree.cpp"));
        objects.extend(cpp.try_compile_intermediates()?);
        self.link(&cpp, &objects, &directory)
    }

    /// A compiler with the flags that uWebSockets' own Makefile has, and no others.
    fn compiler(&self, sockets: &Path, directory: &Path) -> Build {
        let mut build = Build::new();
        build
            .no_default_flags(true)
            .warnings(false)
            .cargo_metadata(false);
        build
            .flag("-O3")
            .flag("-march=native")
            .flag("-flto")
            .flag("-w");
        build.define(self.tls, None).include(sockets);
        build.out_dir(directory);
        build
    }

    fn link(&self, cpp: &Build, objects: &[PathBuf], directory: &Path) -> Result<PathBuf, Failure> {
        let program = directory.join(self.name);
        let mut linker = cpp.try_get_compiler()?.to_command();
        linker.args(objects).arg("-o").arg(&program);
        let output = linker.args(self.libraries).output()?;
        match output.status.success() {
            true => Ok(program),
            false => Err(String::from_utf8_lossy(&output.stderr).into()),
        }
    }
}
