//! What Linux says of the server's process.

use std::fs;
use std::time::Duration;

use tokio::process::Command;

use crate::cli::{Running, echobeat};
use crate::support::Control;

/// The program on a free port, with `args`, and without heart beats.
pub async fn serve(args: &[&str]) -> Running {
    Running::start(command(args)).await
}

/// The same for so many connections that their log lines would fill the pipe.
pub async fn serve_many(args: &[&str]) -> Running {
    start_many(command(args)).await
}

/// Starts the program with fewer log lines, for many connections.
pub async fn start_many(mut command: Command) -> Running {
    command.env(
        "RUST_LOG",
        "info,echobeat::echo=warn,echobeat::session=warn",
    );
    Running::start(command).await
}

fn command(args: &[&str]) -> Command {
    echobeat(&[&["127.0.0.1:0", "--heartbeat=off"], args].concat())
}

impl Running {
    pub async fn control(&self) -> Control {
        Control::start(self.address()).await
    }

    fn proc(&self, file: &str) -> String {
        format!("/proc/{}/{file}", self.child.id().expect("it runs"))
    }

    /// A line of `/proc/PID/status`, in KiB.
    fn status(&self, name: &str) -> u64 {
        let status = fs::read_to_string(self.proc("status")).expect("it runs");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .expect("such a line");
        let number = line.trim_start_matches(':').trim().trim_end_matches(" kB");
        number.parse().expect("a number")
    }

    /// Resident memory in KiB.
    pub fn memory(&self) -> u64 {
        self.status("VmRSS")
    }

    /// The most that resident memory ever was, in KiB.
    pub fn peak_memory(&self) -> u64 {
        self.status("VmHWM")
    }

    /// Threads.
    pub fn threads(&self) -> u64 {
        self.status("Threads")
    }

    /// Open file descriptors.
    pub fn files(&self) -> usize {
        fs::read_dir(self.proc("fd")).expect("it runs").count()
    }

    /// CPU time used so far, by user and system.
    pub fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(self.proc("stat")).expect("it runs");
        let (_, fields) = stat.rsplit_once(") ").expect("a name in brackets");
        let ticks = |n: usize| {
            fields
                .split(' ')
                .nth(n)
                .and_then(|field| field.parse::<u64>().ok())
        };
        // utime and stime, fields 14 and 15, in ticks of 10 ms wherever Linux runs.
        Duration::from_millis(10 * (ticks(11).expect("utime") + ticks(12).expect("stime")))
    }
}
