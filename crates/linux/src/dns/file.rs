//! A file like `resolv.conf`: our lines, each marked, among those of others.

use std::fs;
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};

/// What marks a line with a server; resolvers read no further than the address.
const MARK: &str = "   # by cygnet";
/// What marks a file that was not there before.
const CREATED: &str = "# this file by cygnet\n";
/// What precedes a line with domains, and is followed by that line: names after a `#` would be searched, too.
const SEARCH: &str = "# by cygnet: ";
/// The same, behind a text whose last line had no end.
const SEARCH_JOINED: &str = "# by cygnet, line joined: ";
/// Links that are followed to the file.
const LINKS: usize = 8;

/// Makes these the servers and domains of ours in the file, and only them; none leaves what others wrote.
pub(super) fn set(path: &Path, servers: &[IpAddr], domains: &[String]) -> io::Result<()> {
    let real = behind_links(path);
    let old = match fs::read(&real) {
        Ok(bytes) => Some(bytes),
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(e) => return Err(e),
    };
    match edit(old.as_deref(), servers, domains) {
        None if old.is_none() => Ok(()),
        None => fs::remove_file(&real),
        Some(new) if old.as_deref() == Some(new.as_slice()) => Ok(()),
        Some(new) => replace(&real, &new, old.is_some()),
    }
}

/// The file behind a symbolic link, even if it is not there.
fn behind_links(path: &Path) -> PathBuf {
    let mut at = path.to_owned();
    for _ in 0..LINKS {
        match fs::read_link(&at) {
            Ok(next) => at = at.parent().map_or(next.clone(), |folder| folder.join(&next)),
            Err(_) => break,
        }
    }
    at
}

/// The file with our lines and no older ones of ours; `None` for no file.
fn edit(old: Option<&[u8]>, servers: &[IpAddr], domains: &[String]) -> Option<Vec<u8>> {
    let (others, ours_alone) = old.map_or((Vec::new(), true), strip);
    if servers.is_empty() && domains.is_empty() {
        return (!(ours_alone && others.is_empty())).then_some(others);
    }
    let mut new = Vec::new();
    if ours_alone {
        new.extend_from_slice(CREATED.as_bytes());
    }
    for server in servers {
        new.extend_from_slice(format!("nameserver {server}{MARK}\n").as_bytes());
    }
    new.extend_from_slice(&others);
    if !domains.is_empty() {
        let joined = !others.is_empty() && !others.ends_with(b"\n");
        // Of several such lines resolvers heed the last: ours repeats what others want searched.
        let mut all = searched(&others);
        all.extend(domains.iter().filter(|domain| !all.contains(domain)).cloned().collect::<Vec<_>>());
        let line = format!("search {}\n", all.join(" "));
        let mark = if joined { SEARCH_JOINED } else { SEARCH };
        new.extend_from_slice(format!("{}{mark}{line}{line}", if joined { "\n" } else { "" }).as_bytes());
    }
    Some(new)
}

/// What others wrote, and whether the file was made by us.
fn strip(text: &[u8]) -> (Vec<u8>, bool) {
    let mut out = Vec::new();
    let mut created = false;
    // A line of ours that its mark announced, and whether to take back an end of line if nothing follows.
    let mut announced: Option<Vec<u8>> = None;
    let mut joined = false;
    for line in text.split_inclusive(|b| *b == b'\n') {
        let whole = ended(line);
        if whole == CREATED.as_bytes() {
            created = true;
        } else if is_server(line) {
        } else if let Some(rest) = whole.strip_prefix(SEARCH.as_bytes()) {
            announced = Some(rest.to_vec());
        } else if let Some(rest) = whole.strip_prefix(SEARCH_JOINED.as_bytes()) {
            announced = Some(rest.to_vec());
            joined = true;
        } else if announced.as_deref() == Some(whole.as_slice()) {
            announced = None;
        } else {
            // What stands behind ours needs the end of line.
            joined = false;
            out.extend_from_slice(line);
        }
    }
    // A last line without an end is not empty: one that is came later.
    if joined && out.ends_with(b"\n") && !out.ends_with(b"\n\n") && out.len() > 1 {
        out.pop();
    }
    (out, created)
}

/// The line as it would be with an end.
fn ended(line: &[u8]) -> Vec<u8> {
    let mut line = line.to_vec();
    if line.last() != Some(&b'\n') {
        line.push(b'\n');
    }
    line
}

fn is_server(line: &[u8]) -> bool {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.starts_with(b"nameserver ") && line.ends_with(MARK.as_bytes())
}

/// The domains that are searched by what others wrote.
fn searched(text: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(text);
    let last = text.lines().rev().find_map(|line| {
        let mut words = line.split_whitespace();
        let keyword = line.starts_with(|c: char| !c.is_whitespace()).then(|| words.next()).flatten();
        matches!(keyword, Some("search" | "domain")).then(|| words.map(str::to_owned).collect::<Vec<_>>())
    });
    last.unwrap_or_default()
}

/// Readers see the old or the new file. A mount point or a foreign directory allows only writing in place.
fn replace(path: &Path, text: &[u8], existed: bool) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".cygnet");
    let beside = path.with_file_name(name);
    let write = || -> io::Result<()> {
        // a new file, never one that somebody put there
        let _ = fs::remove_file(&beside);
        fs::OpenOptions::new().write(true).create_new(true).open(&beside)?.write_all(text)?;
        if existed {
            let before = fs::metadata(path)?;
            fs::set_permissions(&beside, before.permissions())?;
            let own = fs::metadata(&beside)?;
            if (own.uid(), own.gid()) != (before.uid(), before.gid()) {
                chown(&beside, Some(before.uid()), Some(before.gid()))?;
            }
        }
        fs::rename(&beside, path)
    };
    write().or_else(|_| {
        let _ = fs::remove_file(&beside);
        fs::write(path, text)
    })
}

#[cfg(test)]
mod tests;
