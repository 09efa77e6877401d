//! Programs that others wrote, and that are installed on the machine.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::support::until;

/// A program that listens until the end of the test.
pub struct Installed {
    _child: Child,
    pub address: SocketAddr,
}

impl Installed {
    /// Starts a program, and waits until it listens on the port that it was configured with.
    pub async fn start(program: &str, args: &[&str], directory: &Path, port: u16) -> Self {
        let child = Command::new(program)
            .args(args)
            .current_dir(directory)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect(program);
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        until(async || TcpStream::connect(address).await.is_ok()).await;
        Self {
            _child: child,
            address,
        }
    }
}

/// A port of this machine that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}

/// A new directory, with a file of this content.
pub fn directory_with(name: &str, file: &str, content: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).expect("a directory");
    fs::write(directory.join(file), content).expect("it can be written");
    directory
}
