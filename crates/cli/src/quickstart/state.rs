//! What quickstart has made, kept in `quickstart/state.json` beside swanctl.conf.
use super::shelf;
use crate::exit::{BAD_CONFIG, FAILED, Failure};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

const SCHEMA: &str = "cygnet.quickstart/1";

/// All of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct State {
    schema: String,
    /// Name or address under which clients find the gateway; also its identity.
    pub(super) name: String,
    /// Addresses of the gateway, where they were given.
    pub(super) addresses: Vec<String>,
    pub(super) dns: Vec<String>,
    pub(super) pools: Vec<String>,
    /// Destinations that go through the tunnel.
    pub(super) routes: Vec<String>,
    /// Common name of the authority.
    pub(super) authority: String,
    pub(super) users: Vec<User>,
}

/// Somebody.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct User {
    pub(super) name: String,
    /// Identity in the certificate and in IKE.
    pub(super) identity: String,
    /// Serial number of the certificate, in hex, where there is one.
    pub(super) serial: Option<String>,
    pub(super) eap: bool,
    /// When, as RFC 3339 writes it.
    pub(super) created: String,
    pub(super) revoked: Option<String>,
}

impl State {
    pub(super) fn new(name: &str, authority: String) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            name: name.to_owned(),
            addresses: Vec::new(),
            dns: Vec::new(),
            pools: Vec::new(),
            routes: Vec::new(),
            authority,
            users: Vec::new(),
        }
    }

    pub(super) fn file(directory: &Path) -> PathBuf {
        directory.join("quickstart/state.json")
    }

    pub(super) fn read(directory: &Path) -> Result<Self, Failure> {
        let file = Self::file(directory);
        let text = std::fs::read(&file).map_err(|error| {
            Failure::new(FAILED, format_args!("{}: {error}", file.display()))
                .hint("there is no gateway yet; 'cygnet quickstart --name gw.example.org' makes one")
        })?;
        let wrong = |error: &dyn std::fmt::Display| {
            Failure::new(BAD_CONFIG, format_args!("{}: {error}", file.display()))
        };
        let state: Self = serde_json::from_slice(&text).map_err(|error| wrong(&error))?;
        if state.schema != SCHEMA {
            return Err(wrong(&format_args!("schema {} is not {SCHEMA}", state.schema)));
        }
        Ok(state)
    }

    pub(super) fn json(&self) -> Result<String, Failure> {
        serde_json::to_string_pretty(self)
            .map(|text| text + "\n")
            .map_err(|error| Failure::new(FAILED, format_args!("writing JSON: {error}")))
    }

    pub(super) fn store(&self, directory: &Path) -> Result<(), Failure> {
        shelf::replace(&Self::file(directory), self.json()?, true)
    }

    /// The user of that name who is not revoked.
    pub(super) fn user(&self, name: &str) -> Option<&User> {
        self.users.iter().find(|user| user.name == name && user.revoked.is_none())
    }
}
