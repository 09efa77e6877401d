//! Serving, as the echo server and the proxy share it: accepted connections, their TLS, and the
//! version of HTTP that each speaks.

pub(crate) mod accept;
pub(crate) mod negotiate;
