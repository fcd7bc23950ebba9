//! What must hold for every text that reaches `config`.

use config::Loader;
use config::resolve::load_text;
use std::io;
use std::path::{Path, PathBuf};

/// One more file, that includes itself: the only one there is.
struct Itself<'a>(&'a [u8]);

impl Loader for Itself<'_> {
    fn read(&self, _: &Path) -> io::Result<Vec<u8>> {
        Ok(self.0.to_vec())
    }

    fn glob(&self, pattern: &Path) -> io::Result<Vec<PathBuf>> {
        Ok(vec![pattern.to_owned()])
    }
}

/// No files at all.
struct Nothing;

impl Loader for Nothing {
    fn read(&self, _: &Path) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn glob(&self, _: &Path) -> io::Result<Vec<PathBuf>> {
        Ok(Vec::new())
    }
}

/// A configuration file; every complaint can be shown.
pub(crate) fn text(bytes: &[u8]) {
    for loader in [&Nothing as &dyn Loader, &Itself(b"a { b = c }\n")] {
        match load_text(loader, "fuzz.conf", Path::new("/"), bytes) {
            Ok(loaded) => {
                for warning in &loaded.warnings {
                    let _ = warning.render(&loaded.sources);
                }
                let again =
                    load_text(loader, "fuzz.conf", Path::new("/"), bytes).expect("it was loaded before");
                assert_eq!(again.root, loaded.root);
            }
            Err(error) => {
                assert!(!error.reports.is_empty());
                let _ = (error.render(), error.to_string());
            }
        }
    }
    if bytes.len() < 300 {
        let _ = load_text(&Itself(bytes), "fuzz.conf", Path::new("/"), bytes).map_err(|e| e.to_string());
    }
}
