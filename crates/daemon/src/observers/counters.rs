//! Counters of IKE events (vici `get-counters`), in all and by connection.
use config::tree::Section;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use vici::Message;

/// Every counter there is, in the order charon lists them.
const NAMES: [&str; 21] = [
    "ike-rekey-init",
    "ike-rekey-resp",
    "child-rekey",
    "invalid",
    "invalid-spi",
    "ike-init-in-req",
    "ike-init-in-resp",
    "ike-init-out-req",
    "ike-init-out-resp",
    "ike-auth-in-req",
    "ike-auth-in-resp",
    "ike-auth-out-req",
    "ike-auth-out-resp",
    "create-child-in-req",
    "create-child-in-resp",
    "create-child-out-req",
    "create-child-out-resp",
    "info-in-req",
    "info-in-resp",
    "info-out-req",
    "info-out-resp",
];

type Row = [u64; NAMES.len()];

#[derive(Debug, Default)]
struct Table {
    total: Row,
    by_connection: BTreeMap<String, Row>,
}

/// The counters.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    table: Mutex<Table>,
}

/// No counters for that connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoSuchConnection;

impl Counters {
    /// Counts one; a name that is none of vici's counts for nothing.
    pub(crate) fn tick(&self, name: &str, connection: Option<&str>) {
        let Some(column) = NAMES.iter().position(|known| *known == name) else { return };
        let mut table = self.lock();
        bump(&mut table.total, column);
        if let Some(connection) = connection.filter(|name| !name.is_empty()) {
            // Names are those of loaded connections, never a peer's choice.
            match table.by_connection.get_mut(connection) {
                Some(row) => bump(row, column),
                None => {
                    let mut row = Row::default();
                    bump(&mut row, column);
                    table.by_connection.insert(connection.to_owned(), row);
                }
            }
        }
    }

    /// One section per connection, or the totals under an empty name.
    pub(crate) fn list(&self, name: Option<&str>, all: bool) -> Result<Section, NoSuchConnection> {
        let table = self.lock();
        let mut out = Section::default();
        if all {
            for (name, row) in &table.by_connection {
                out.put_section(name, section(row));
            }
        } else if let Some(name) = name.filter(|name| !name.is_empty()) {
            out.put_section(name, section(table.by_connection.get(name).ok_or(NoSuchConnection)?));
        } else {
            out.put_section("", section(&table.total));
        }
        Ok(out)
    }

    /// Back to zero.
    pub(crate) fn reset(&self, name: Option<&str>, all: bool) {
        let mut table = self.lock();
        if all {
            table.by_connection.clear();
        } else if let Some(name) = name.filter(|name| !name.is_empty()) {
            table.by_connection.remove(name);
        } else {
            table.total = Row::default();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bump(row: &mut Row, column: usize) {
    if let Some(cell) = row.get_mut(column) {
        *cell = cell.saturating_add(1);
    }
}

fn section(row: &Row) -> Section {
    let mut out = Section::default();
    for (name, value) in NAMES.iter().zip(row) {
        out.put(name, value);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counted_in_all_and_by_connection() {
        let counters = Counters::default();
        counters.tick("invalid", None);
        counters.tick("ike-init-in-req", Some("home"));
        counters.tick("nonsense", Some("home"));
        let total = counters.list(None, false).unwrap();
        let total = total.child("").unwrap();
        assert_eq!(total.text("invalid"), Some("1"));
        assert_eq!(total.text("ike-init-in-req"), Some("1"));
        assert_eq!(total.entries.len(), 21);
        assert_eq!(counters.list(Some("away"), false), Err(NoSuchConnection));
        let all = counters.list(None, true).unwrap();
        assert_eq!(all.child("home").and_then(|c| c.text("ike-init-in-req")), Some("1"));
        counters.reset(None, true);
        assert!(counters.list(None, true).unwrap().entries.is_empty());
    }
}
