//! Carries a configuration to the daemon: sections of swanctl.conf become `load-*` messages, what the daemon has and
//! the configuration does not is unloaded. Used by `cygnet load` and by `swanctl --load-*`.
use crate::exit::{BAD_CONFIG, Failure};
use config::tree::{Node, Section, Value};
use std::path::{Path, PathBuf};
use vici::{Client, Message};

mod credentials;
mod secret;

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

/// Keys whose value swanctl.conf writes as a comma list and vici carries as a list.
const LISTS: &[&str] = &[
    "local_addrs",
    "remote_addrs",
    "proposals",
    "esp_proposals",
    "ah_proposals",
    "local_ts",
    "remote_ts",
    "vips",
    "pools",
    "groups",
    "cert_policy",
    "crl_uris",
    "ocsp_uris",
];

/// Keys whose value names files in a directory of their own; vici carries their contents.
const FILES: &[(&str, &str)] = &[("certs", "x509"), ("cacerts", "x509ca"), ("pubkeys", "pubkey")];

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
        let body = translate(section, &source.directory);
        job.load("load-conn", "connection", name, body.map(|body| one(name, body)))?;
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
        let mut body = Section::default();
        for (key, node) in &section.entries {
            match node {
                // Every attribute may be given several times; only the range itself is one value.
                Node::Value(value) if key != "addrs" => body.put_list(key, split(value)),
                other => {
                    body.entries.insert(key.clone(), other.clone());
                    &mut body
                }
            };
        }
        job.load("load-pool", "pool", name, Ok(one(name, body)))?;
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
        let body = translate(section, &source.directory).and_then(|mut body| {
            if let Some(file) = section.text("cacert") {
                body.put_bytes("cacert", read(&source.directory.join("x509ca").join(file))?);
            }
            Ok(one(name, body))
        });
        job.load("load-authority", "authority", name, body)?;
    }
    job.unload("unload-authority", "authority", "name", &known, &wanted)?;
    Ok(job.tally)
}

pub(crate) use credentials::credentials;

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

/// A message with one section.
fn one(name: &str, body: Section) -> Section {
    let mut message = Section::default();
    message.put_section(name, body);
    message
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

/// A section of swanctl.conf as vici wants it: comma lists become lists, named files their contents.
fn translate(section: &Section, directory: &Path) -> Result<Section, String> {
    let mut out = Section::default();
    for (key, node) in &section.entries {
        match node {
            Node::Value(value) => {
                if LISTS.contains(&key.as_str()) {
                    out.put_list(key, split(value));
                } else if let Some((_, place)) = FILES.iter().find(|(name, _)| name == key) {
                    let mut contents = Vec::new();
                    for file in split(value) {
                        let bytes = read(&directory.join(place).join(file))?;
                        contents.push(Value { bytes, ..Value::default() });
                    }
                    out.entries.insert(key.clone(), Node::List(contents));
                } else {
                    out.put_bytes(key, value.bytes.clone());
                }
            }
            Node::List(_) => {
                out.entries.insert(key.clone(), node.clone());
            }
            Node::Section(inner) => {
                out.put_section(key, translate(inner, directory)?);
            }
        }
    }
    Ok(out)
}

/// The items of a comma list, without blanks around them; empty ones are dropped.
fn split(value: &Value) -> Vec<String> {
    String::from_utf8_lossy(&value.bytes)
        .split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
        .map(str::to_owned)
        .collect()
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("reading '{}': {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comma_lists_become_lists_and_the_rest_stays() {
        let mut child = Section::default();
        child.put("local_ts", "10.1.0.0/16, fd00:1::/64 ,").put("rekey_time", "40m");
        let mut children = Section::default();
        children.put_section("office", child);
        let mut conn = Section::default();
        conn.put("vips", "0.0.0.0,::").put("encap", "yes").put_section("children", children);
        let message = translate(&conn, Path::new("/nowhere")).unwrap();
        assert_eq!(message.items("vips"), ["0.0.0.0", "::"]);
        assert_eq!(message.text("encap"), Some("yes"));
        let office = message.child("children").unwrap().child("office").unwrap();
        assert_eq!(office.items("local_ts"), ["10.1.0.0/16", "fd00:1::/64"]);
        assert_eq!(office.text("rekey_time"), Some("40m"));
    }

    #[test]
    fn named_files_become_their_contents() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("x509")).unwrap();
        std::fs::write(directory.path().join("x509/gw.pem"), "certificate").unwrap();
        let mut auth = Section::default();
        auth.put("certs", "gw.pem");
        assert_eq!(translate(&auth, directory.path()).unwrap().items("certs"), ["certificate"]);
        auth.put("certs", "gone.pem");
        assert!(translate(&auth, directory.path()).unwrap_err().contains("gone.pem"));
    }

    #[test]
    fn a_value_where_a_section_belongs_is_refused() {
        let mut connections = Section::default();
        connections.put("gw", "oops");
        let source = Source { root: one("connections", connections), ..Source::default() };
        assert_eq!(sections(&source, "connections").unwrap_err().code, BAD_CONFIG);
    }
}
