//! Documents rot unless somebody checks the paths they name: every `path/like/this.rs` in backquotes must exist.
use anyhow::{Result, bail};

/// Checks the paths named in the documents at the root and under `docs/`.
pub(crate) fn check() -> Result<()> {
    let root = crate::run::root();
    let mut documents = Vec::new();
    for dir in [root.clone(), root.join("docs"), root.join("docs/decisions"), root.join("tests/scenarios")] {
        let Ok(entries) = std::fs::read_dir(&dir) else { continue };
        documents
            .extend(entries.flatten().map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == "md")));
    }
    documents.sort();
    let mut gone = Vec::new();
    let mut checked = 0usize;
    for document in &documents {
        let text = std::fs::read_to_string(document)?;
        for (number, line) in text.lines().enumerate() {
            for quoted in line.split('`').skip(1).step_by(2) {
                let Some(path) = claimed_path(quoted) else { continue };
                checked += 1;
                if !root.join(path).exists() && !root.join("crates").join(path).exists() {
                    gone.push(format!(
                        "{}:{}: {path}",
                        document.strip_prefix(&root).unwrap_or(document).display(),
                        number + 1
                    ));
                }
            }
        }
    }
    if gone.is_empty() {
        println!("docs: {checked} paths in {} documents exist", documents.len());
        return Ok(());
    }
    bail!("docs name paths that do not exist:\n  {}", gone.join("\n  "));
}

/// A text that looks like a path inside this repository.
fn claimed_path(text: &str) -> Option<&str> {
    let path = text.split_once(':').map_or(text, |(p, _)| p);
    let plain = path.chars().all(|c| c.is_ascii_alphanumeric() || "/_-.".contains(c));
    let ours = ["crates/", "docs/", "examples/", "tests/", "fuzz/", "packaging/", ".ci/"];
    let in_a_crate = path.contains("/src/") && path.ends_with(".rs");
    (plain && !path.starts_with('/') && (in_a_crate || ours.iter().any(|p| path.starts_with(p))))
        .then_some(path)
}

#[cfg(test)]
mod tests {
    use super::claimed_path;

    #[test]
    fn tells_paths_from_other_words() {
        assert_eq!(claimed_path("crates/ike/src/io.rs"), Some("crates/ike/src/io.rs"));
        assert_eq!(claimed_path("ike/src/io.rs"), Some("ike/src/io.rs"));
        assert_eq!(claimed_path("cargo xtask test"), None);
        assert_eq!(claimed_path("/etc/swanctl/swanctl.conf"), None);
    }
}
