//! How files get written: all or none of a set, with the right modes, never over what is there.
use crate::exit::{FAILED, Failure};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// A file that is to be written.
#[derive(Debug, Clone)]
pub(super) struct Sheet {
    pub(super) path: PathBuf,
    pub(super) content: Vec<u8>,
    pub(super) secret: bool,
}

/// Files that belong together.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    sheets: Vec<Sheet>,
}

impl Shelf {
    /// A file that everybody may read.
    pub(super) fn open(&mut self, path: PathBuf, content: impl Into<Vec<u8>>) {
        self.sheets.push(Sheet { path, content: content.into(), secret: false });
    }

    /// A file for its owner only.
    pub(super) fn secret(&mut self, path: PathBuf, content: impl Into<Vec<u8>>) {
        self.sheets.push(Sheet { path, content: content.into(), secret: true });
    }

    pub(super) fn sheets(&self) -> &[Sheet] {
        &self.sheets
    }

    /// Refuses when one of the files is there.
    pub(super) fn check(&self) -> Result<(), Failure> {
        match self.sheets.iter().find(|sheet| sheet.path.symlink_metadata().is_ok()) {
            Some(sheet) => Err(Failure::new(
                FAILED,
                format_args!("{} is there already; nothing was changed", sheet.path.display()),
            )),
            None => Ok(()),
        }
    }

    /// Writes all files; when one cannot be written, takes those back that were.
    pub(super) fn write(&self) -> Result<(), Failure> {
        self.check()?;
        for (number, sheet) in self.sheets.iter().enumerate() {
            if let Err(error) = put(sheet, true) {
                for written in &self.sheets[..number] {
                    // What cannot be removed either is named by the error below.
                    drop(std::fs::remove_file(&written.path));
                }
                return Err(Failure::new(FAILED, format_args!("writing {}: {error}", sheet.path.display())));
            }
        }
        Ok(())
    }
}

/// Replaces a file at once: whoever reads it meanwhile sees the old one or the new one.
pub(super) fn replace(path: &Path, content: impl Into<Vec<u8>>, secret: bool) -> Result<(), Failure> {
    let aside = path.with_extension("new");
    let failed = |error| Failure::new(FAILED, format_args!("writing {}: {error}", path.display()));
    drop(std::fs::remove_file(&aside));
    put(&Sheet { path: aside.clone(), content: content.into(), secret }, true).map_err(failed)?;
    std::fs::rename(&aside, path).map_err(failed)
}

fn put(sheet: &Sheet, new: bool) -> std::io::Result<()> {
    if let Some(parent) = sheet.path.parent() {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(if sheet.secret { 0o700 } else { 0o755 })
            .create(parent)?;
    }
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(new)
        .mode(if sheet.secret { 0o600 } else { 0o644 })
        .open(&sheet.path)?;
    file.write_all(&sheet.content)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn all_or_none() {
        let directory = tempfile::tempdir().unwrap();
        let (a, b) = (directory.path().join("deep/a"), directory.path().join("b"));
        let mut shelf = Shelf::default();
        shelf.secret(a.clone(), "secret");
        shelf.open(b.clone(), "open");
        std::fs::write(&b, "mine").unwrap();
        let refused = shelf.write().unwrap_err();
        assert!(refused.message().contains("is there already"), "{}", refused.message());
        assert!(!a.exists());
        std::fs::remove_file(&b).unwrap();
        shelf.write().unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&a), mode(&b)), (0o600, 0o644));
        replace(&a, "other", true).unwrap();
        assert_eq!((std::fs::read_to_string(&a).unwrap().as_str(), mode(&a)), ("other", 0o600));
    }
}
