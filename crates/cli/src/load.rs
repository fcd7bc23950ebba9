//! Carries a configuration to the daemon: sections of swanctl.conf become `load-*` messages, what the daemon has and
//! the configuration does not is unloaded. Used by `cygnet load` and by `swanctl --load-*`.
use crate::exit::{BAD_CONFIG, Failure};
use config::swanctl::{authority_message, connection_message, pool_message};
use config::tree::{Node, Section, Value};
use std::path::{Path, PathBuf};
use vici::{Client, Message};

mod credentials;
pub(crate) mod passphrase;

/// A configuration that was read without errors.
#[derive(Debug, Default)]
pub(crate) struct Source {
    /// Includes and references resolved.
    pub(crate) root: Section,
    /// The swanctl directory, where certificates and keys lie.
    pub(crate) directory: PathBuf,
}

/// How loading one kind of thing went.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) found: usize,
    pub(crate) loaded: usize,
    pub(crate) unloaded: usize,
}

impl Tally {
    pub(crate) const fn failed(&self) -> usize {
        self.found - self.loaded
    }
}

/// Watches the loading.
pub(crate) trait Progress {
    /// The daemon answered.
    fn answer(&mut self, _command: &str, _message: &Section) {}
    /// Something was loaded: `connection 'gw'`.
    fn loaded(&mut self, what: &str);
    /// Something was not.
    fn failed(&mut self, text: &str);
}

/// Keys whose value names files in a directory of their own; vici carries their contents.
pub(crate) const FILES: &[(&str, &str)] = &[("certs", "x509"), ("cacerts", "x509ca"), ("pubkeys", "pubkey")];

/// Loads `connections`, unloads the others.
pub(crate) fn connections(
    source: &Source,
    client: &mut Client,
    progress: &mut dyn Progress,
) -> Result<Tally, Failure> {
    let known = names(&ask(client, "get-conns", progress)?, "conns");
    let mut job = Job { client, progress, tally: Tally::default() };
    let wanted = sections(source, "connections")?;
    for (name, section) in &wanted {
        let mut message = connection_message(name, section);
        let read = with_files(&mut message, &source.directory);
        job.load("load-conn", "connection", name, read.map(|()| message))?;
    }
    job.unload("unload-conn", "connection", "name", &known, &wanted)?;
    Ok(job.tally)
}

/// Loads `pools`, unloads the others.
pub(crate) fn pools(
    source: &Source,
    client: &mut Client,
    progress: &mut dyn Progress,
) -> Result<Tally, Failure> {
    let known: Vec<String> =
        ask(client, "get-pools", progress)?.children().map(|(name, _)| name.to_owned()).collect();
    let mut job = Job { client, progress, tally: Tally::default() };
    let wanted = sections(source, "pools")?;
    for (name, section) in &wanted {
        job.load("load-pool", "pool", name, Ok(pool_message(name, section)))?;
    }
    job.unload("unload-pool", "pool", "name", &known, &wanted)?;
    Ok(job.tally)
}

/// Loads `authorities`, unloads the others.
pub(crate) fn authorities(
    source: &Source,
    client: &mut Client,
    progress: &mut dyn Progress,
) -> Result<Tally, Failure> {
    let known = names(&ask(client, "get-authorities", progress)?, "authorities");
    let mut job = Job { client, progress, tally: Tally::default() };
    let wanted = sections(source, "authorities")?;
    for (name, section) in &wanted {
        let mut message = authority_message(name, section);
        let mut read = Ok(());
        if let (Some(file), Some(Node::Section(body))) =
            (section.text("cacert"), message.entries.get_mut(*name))
        {
            match self::read(&source.directory.join("x509ca").join(file)) {
                Ok(certificate) => drop(body.insert("cacert", Node::Value(Value::new(certificate)))),
                Err(reason) => read = Err(reason),
            }
        }
        job.load("load-authority", "authority", name, read.map(|()| message))?;
    }
    job.unload("unload-authority", "authority", "name", &known, &wanted)?;
    Ok(job.tally)
}

pub(crate) use credentials::{CONTAINERS, KEYS, credentials, files};

/// One kind of thing being loaded.
struct Job<'a> {
    client: &'a mut Client,
    progress: &'a mut dyn Progress,
    tally: Tally,
}

impl Job<'_> {
    fn load(
        &mut self,
        command: &str,
        kind: &str,
        name: &str,
        message: Result<Section, String>,
    ) -> Result<(), Failure> {
        self.tally.found += 1;
        let message = match message {
            Ok(message) => message,
            Err(reason) => {
                self.progress.failed(&format!("loading {kind} '{name}' failed: {reason}"));
                return Ok(());
            }
        };
        let answer = self.client.request(command, message)?;
        self.progress.answer(command, &answer);
        if answer.is_yes("success") {
            self.tally.loaded += 1;
            self.progress.loaded(&format!("{kind} '{name}'"));
        } else {
            let reason = answer.text("errmsg").unwrap_or_default();
            self.progress.failed(&format!("loading {kind} '{name}' failed: {reason}"));
        }
        Ok(())
    }

    fn unload(
        &mut self,
        command: &str,
        kind: &str,
        key: &str,
        known: &[String],
        wanted: &[(&str, &Section)],
    ) -> Result<(), Failure> {
        for name in known.iter().filter(|name| !wanted.iter().any(|(kept, _)| kept == name)) {
            let mut message = Section::default();
            message.put(key, name);
            let answer = self.client.request(command, message)?;
            self.progress.answer(command, &answer);
            if answer.is_yes("success") {
                self.tally.unloaded += 1;
            } else {
                let reason = answer.text("errmsg").unwrap_or_default();
                self.progress.failed(&format!("unloading {kind} '{name}' failed: {reason}"));
            }
        }
        Ok(())
    }
}

fn ask(client: &mut Client, command: &str, progress: &mut dyn Progress) -> Result<Section, Failure> {
    let answer = client.request(command, Section::default())?;
    progress.answer(command, &answer);
    Ok(answer)
}

fn names(answer: &Section, key: &str) -> Vec<String> {
    answer.items(key).into_iter().map(str::to_owned).collect()
}

/// The sections in `name`; a value there is a mistake.
fn sections<'a>(source: &'a Source, name: &str) -> Result<Vec<(&'a str, &'a Section)>, Failure> {
    let mut out = Vec::new();
    let Some(section) = source.root.child(name) else {
        return Ok(out);
    };
    for (key, node) in &section.entries {
        match node {
            Node::Section(section) => out.push((key.as_str(), section)),
            Node::Value(_) | Node::List(_) => {
                return Err(Failure::new(
                    BAD_CONFIG,
                    format_args!("{name}.{key} is a value; a section belongs there"),
                ));
            }
        }
    }
    Ok(out)
}

/// Puts the contents of named files in the place of their names, here and below.
fn with_files(section: &mut Section, directory: &Path) -> Result<(), String> {
    for (key, node) in &mut section.entries {
        match node {
            Node::Section(inner) => with_files(inner, directory)?,
            Node::Value(_) => {}
            Node::List(items) => {
                let Some((_, place)) = FILES.iter().find(|(name, _)| name == key) else { continue };
                for item in items {
                    let file = String::from_utf8_lossy(&item.bytes).into_owned();
                    *item = Value { bytes: read(&directory.join(place).join(file))?, ..Value::default() };
                }
            }
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("reading '{}': {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_files_become_their_contents() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("x509")).unwrap();
        std::fs::write(directory.path().join("x509/gw.pem"), "certificate").unwrap();
        let mut local = Section::default();
        local.put_list("certs", ["gw.pem"]).put_list("groups", ["gw.pem"]);
        let mut conn = Section::default();
        conn.put_section("local", local);
        with_files(&mut conn, directory.path()).unwrap();
        let local = conn.child("local").unwrap();
        assert_eq!((local.items("certs"), local.items("groups")), (vec!["certificate"], vec!["gw.pem"]));
        let mut gone = Section::default();
        gone.put_list("cacerts", ["gone.pem"]);
        assert!(with_files(&mut gone, directory.path()).unwrap_err().contains("gone.pem"));
    }

    #[test]
    fn a_value_where_a_section_belongs_is_refused() {
        let mut connections = Section::default();
        connections.put("gw", "oops");
        let mut root = Section::default();
        root.put_section("connections", connections);
        let source = Source { root, ..Source::default() };
        assert_eq!(sections(&source, "connections").unwrap_err().code, BAD_CONFIG);
    }
}
