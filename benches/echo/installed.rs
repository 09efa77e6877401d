//! Programs that are installed on the machine.

use std::env;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Child;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::Failure;
use crate::client::PATIENCE;
use crate::servers::Started;

/// A program on the path, or where Debian has those that only root has on the path.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let directories = env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let mut programs = directories.map(|directory| directory.join(name));
    programs.find(|program| program.is_file())
}

/// An address for a program that cannot choose and tell one itself.
pub fn free_address() -> Result<SocketAddr, Failure> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// Waits until a program that was started listens.
pub fn until_it_listens(address: SocketAddr, mut child: Child) -> Result<Started, Failure> {
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(address).is_err() {
        if let Some(status) = child.try_wait()? {
            return Err(format!("it ends with {status}").into());
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            return Err(format!("it does not listen ({})", child.wait()?).into());
        }
        sleep(Duration::from_millis(10));
    }
    Ok((address, child.id(), Some(child)))
}
