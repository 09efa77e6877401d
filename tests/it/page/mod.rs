//! The page: how it is served, and what it does in a browser.

mod browser;
mod builder;
mod compression;
mod hands;
mod list;
mod looks;
mod memory;
mod panel;
mod route;
mod url;
mod verdict;
