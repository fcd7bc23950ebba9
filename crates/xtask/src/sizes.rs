//! Files that have grown too long: over 600 lines is listed, over 900 fails.
use anyhow::{Result, bail};
use std::path::{Path, PathBuf};

/// Every Rust source file of the workspace.
pub(crate) fn sources(dir: &Path, out: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("target") {
            sources(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
}

/// Lists long files; fails where one is over 900 lines.
pub(crate) fn check() -> Result<()> {
    let root = crate::run::root();
    let mut files = Vec::new();
    sources(&root.join("crates"), &mut files);
    let mut long: Vec<(usize, String)> = files
        .iter()
        .filter_map(|f| {
            let lines = std::fs::read_to_string(f).ok()?.lines().count();
            (lines > 600).then(|| (lines, f.strip_prefix(&root).unwrap_or(f).display().to_string()))
        })
        .collect();
    long.sort();
    for (lines, file) in &long {
        println!("{lines:5}  {file}");
    }
    let too_long = long.iter().filter(|(lines, _)| *lines > 900).count();
    if too_long > 0 {
        bail!("sizes: {too_long} files over 900 lines; split them by subject");
    }
    println!("sizes: {} files, {} over 600 lines", files.len(), long.len());
    Ok(())
}
