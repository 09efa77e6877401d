//! The machine: its cores, who runs on which, and what the report says of it.

use std::fs;
use std::panic::resume_unwind;
use std::thread;

use core_affinity::CoreId;

/// The cores that the benchmark may use.
pub struct Machine {
    cores: Vec<CoreId>,
}

impl Machine {
    pub fn new() -> Self {
        Self {
            cores: core_affinity::get_core_ids().unwrap_or_default(),
        }
    }

    /// The number of cores.
    pub fn cores(&self) -> usize {
        self.cores.len().max(1)
    }

    /// Does the load generator's work, apart from the server.
    pub fn on_generator_core<T: Send>(&self, threads: usize, work: impl FnOnce() -> T + Send) -> T {
        on_core(self.pinned(threads).map(|(generator, _)| generator), work)
    }

    /// Starts a server, which stays on the core that it was started on.
    pub fn on_server_core<T: Send>(&self, threads: usize, start: impl FnOnce() -> T + Send) -> T {
        on_core(self.pinned(threads).map(|(_, server)| server), start)
    }

    /// Where generator and server of so many threads run: the first and the last core, for those
    /// are seldom two threads of the same one. A server of several threads runs where it likes. Only
    /// on Linux does a process inherit the core of the thread that starts it.
    fn pinned(&self, threads: usize) -> Option<(CoreId, CoreId)> {
        match self.cores[..] {
            [first, .., last] if threads == 1 && cfg!(target_os = "linux") => Some((first, last)),
            _ => None,
        }
    }

    /// The machine in one line.
    pub fn facts(&self) -> String {
        let cores = self.cores();
        let pinned = match self.pinned(1) {
            Some((generator, server)) => format!(
                "servers of one thread pinned to core {}, load generator to core {}",
                server.id, generator.id,
            ),
            None => "nothing pinned, for that takes Linux and two cores".to_owned(),
        };
        let model = line_of("/proc/cpuinfo", "model name").unwrap_or("unknown CPU".to_owned());
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let system = format!("{} {}", std::env::consts::OS, kernel.trim());
        format!("{cores} × {model}, {}; {pinned}.", system.trim())
    }
}

/// Works in a thread of its own, which is pinned if a core is given: so the pin ends with the work.
fn on_core<T: Send>(core: Option<CoreId>, work: impl FnOnce() -> T + Send) -> T {
    let pinned = || {
        if let Some(core) = core {
            core_affinity::set_for_current(core);
        }
        work()
    };
    thread::scope(|scope| scope.spawn(pinned).join()).unwrap_or_else(|panic| resume_unwind(panic))
}

/// The value of the first line `name: value` of a file.
fn line_of(path: &str, name: &str) -> Option<String> {
    let file = fs::read_to_string(path).ok()?;
    let line = file.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
