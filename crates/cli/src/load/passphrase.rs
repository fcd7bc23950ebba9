//! Passphrases of files and PINs of tokens: configured, or asked for at the terminal.
use config::schema::secret::{SecretSection, load_secret};
use config::tree::Section;
use zeroize::Zeroizing;

/// Asks a person; `None` when there is nobody to ask.
pub(crate) type Asker = fn(&str) -> Option<Zeroizing<String>>;

/// At the terminal, without echo.
pub(crate) fn terminal(prompt: &str) -> Option<Zeroizing<String>> {
    rpassword::prompt_password(prompt).ok().map(Zeroizing::new).filter(|text| !text.is_empty())
}

/// What is known beforehand, and whom to ask for the rest.
pub(super) struct Passphrases {
    /// Kind of section, file and passphrase.
    known: Vec<(&'static str, String, Zeroizing<String>)>,
    asker: Option<Asker>,
}

impl Passphrases {
    pub(super) fn new(secrets: &[(&str, &Section)], asker: Option<Asker>) -> Self {
        let mut known = Vec::new();
        for (name, section) in secrets {
            // What is wrong with a section is told when it is its turn.
            if let Ok(SecretSection::Private(private)) = load_secret(name, section)
                && let (Some(file), Some(secret)) = (private.file, private.secret)
                && let Ok(text) = std::str::from_utf8(secret.as_slice())
            {
                known.push((private.kind, file, Zeroizing::new(text.to_owned())));
            }
        }
        Self { known, asker }
    }

    /// The configured passphrase of a file in the directory of that kind.
    pub(super) fn configured(&self, kind: &str, file: &str) -> Option<Zeroizing<String>> {
        let fits = |(known_kind, known_file, _): &&(&str, String, Zeroizing<String>)| {
            *known_kind == kind && known_file == file
        };
        self.known.iter().find(fits).map(|(_, _, passphrase)| passphrase.clone())
    }

    pub(super) fn ask(&self, prompt: &str) -> Option<Zeroizing<String>> {
        self.asker.and_then(|asker| asker(prompt))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vici::Message;

    #[test]
    fn passphrases_belong_to_kind_and_file() {
        let mut section = Section::default();
        section.put("file", "a.key").put("secret", "s3cret");
        let known = Passphrases::new(&[("private-a", &section)], None);
        assert_eq!(known.configured("private", "a.key").as_deref().map(String::as_str), Some("s3cret"));
        assert!(known.configured("rsa", "a.key").is_none() && known.configured("private", "b.key").is_none());
        assert!(known.ask("?").is_none());
        let asked = Passphrases::new(&[], Some(|_| Some(Zeroizing::new("typed".to_owned()))));
        assert_eq!(asked.ask("?").as_deref().map(String::as_str), Some("typed"));
    }
}
