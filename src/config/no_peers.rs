//! Peers that are believed, of which there are none in a build without the feature `cli`.

use std::str::FromStr;

use super::SettingError;
use crate::net::connection_info::Peer;

/// Peers by their address, which only the feature `cli` can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peers {}

impl Peers {
    pub(crate) fn contains(self, _: Peer) -> bool {
        match self {}
    }
}

impl FromStr for Peers {
    type Err = SettingError;

    fn from_str(_: &str) -> Result<Self, SettingError> {
        Err(SettingError::Peers)
    }
}
