//! The server over real sockets, and the program as a process.

#![allow(unreachable_pub, reason = "nobody reaches any of it from outside")]

mod api;
mod browser;
mod cli;
mod close;
mod compression;
mod docs;
mod echo;
mod faults;
mod http;
mod http2;
mod metrics;
mod modules;
mod page;
mod probe;
mod proxy;
mod scenario;
mod shutdown;
mod support;
mod testing;
mod tls;
#[cfg(unix)]
mod unix;
