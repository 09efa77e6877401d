//! Serving, as the echo server and the proxy share it: accepted connections, their TLS, and the
//! version of HTTP that each speaks.
//!
//! | room | purpose |
//! |---|---|
//! | [`accept`] | listening, the accept loop, and the drain |
//! | [`service`] | the way of a connection to the service that answers it |
//! | [`proxy_protocol`] | what a load balancer says of its client, before TLS |
//! | [`negotiate`] | TLS, and the version of HTTP |
//! | [`api`] | the HTTP API |

pub(crate) mod accept;
#[cfg_attr(not(feature = "api"), path = "no_api.rs")]
pub(crate) mod api;
pub(crate) mod negotiate;
#[cfg_attr(not(feature = "cli"), path = "no_proxy_protocol.rs")]
mod proxy_protocol;
pub(crate) mod service;
