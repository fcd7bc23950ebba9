//! The doors to the `config` crate: files and messages to typed values, errors to text.
use crate::data_plane::DataPlane;
use config::capability::Capabilities;
use config::resolve::{Disk, load};
use config::tree::Section;
use config::{Context, Report, load_connection, load_pool};
use policy::{Connection, PoolConfig};
use std::path::Path;

/// Reads `strongswan.conf`; the error shows the lines it is about.
pub(crate) fn file(path: &Path) -> Result<Section, String> {
    load(&Disk, path).map(|loaded| loaded.root).map_err(|e| e.render())
}

/// A connection from `load-conn`.
pub(crate) fn connection(
    name: &str,
    section: &Section,
    replay_window: u32,
    plane: DataPlane,
) -> Result<Connection, String> {
    let capabilities = match plane {
        DataPlane::Xfrm => Capabilities::xfrm(),
        DataPlane::Userspace => Capabilities::userspace(),
    };
    let context = Context { capabilities, replay_window };
    load_connection(name, section, &context)
        .map_err(|reports| format!("{} ({})", in_short(&reports), texts(&reports)))
}

/// A pool from `load-pool`.
pub(crate) fn pool(name: &str, section: &Section) -> Result<PoolConfig, String> {
    load_pool(name, section).map_err(|reports| texts(&reports))
}

/// The first error in charon's words, which scripts look for.
fn in_short(reports: &[Report]) -> String {
    let first = reports.iter().find(|report| report.is_error());
    let Some(first) = first else { return "config discarded".to_owned() };
    let key = first.path.rsplit('.').next().unwrap_or_default();
    if first.message == "unknown key" {
        format!("unknown option: {key}, config discarded")
    } else {
        format!("invalid value for: {key}, config discarded")
    }
}

fn texts(reports: &[Report]) -> String {
    let texts: Vec<String> = reports.iter().filter(|report| report.is_error()).map(Report::text).collect();
    texts.join("; ")
}
