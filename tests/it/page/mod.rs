//! The page: how it is served, and what it does in a browser.

mod browser;
mod hands;
mod route;
