//! The server over real sockets, and the program as a process.

#![allow(unreachable_pub, reason = "nobody reaches any of it from outside")]

#[cfg(unix)]
mod activation;
mod api;
mod balancers;
mod browser;
mod cli;
mod close;
#[cfg(unix)]
mod cluster;
mod compression;
mod docs;
mod documents;
mod echo;
mod faults;
mod http;
mod http2;
mod installed;
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
