//! The command line: what charon and charon-systemd take, and `--conf`.
use std::path::PathBuf;

/// `--help`.
pub(crate) const USAGE: &str = "\
usage: cygnetd [options]

  --conf FILE         read FILE instead of $STRONGSWAN_CONF or /etc/strongswan.conf
  --debug-GROUP N     log GROUP up to level N on standard error (-1 … 4)
  --use-syslog        log to syslog as well
  --version           print the version and exit
  --help              print this and exit

Connections, secrets and pools are loaded through the vici socket: see swanctl or cygnet.
";

/// What to do.
#[derive(Debug)]
pub(crate) enum Parsed {
    Run(Args),
    /// Print this and end.
    Show(String),
}

/// Options of a run.
#[derive(Debug, Default)]
pub(crate) struct Args {
    pub(crate) conf: Option<PathBuf>,
    pub(crate) levels: Vec<(String, i8)>,
    pub(crate) use_syslog: bool,
}

/// Reads the arguments; an error says which one is wrong.
pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Parsed, String> {
    let mut args = Args::default();
    while let Some(word) = words.next() {
        let (option, attached) = match word.split_once('=') {
            Some((option, value)) => (option.to_owned(), Some(value.to_owned())),
            None => (word.clone(), None),
        };
        let mut value = || attached.clone().or_else(|| words.next()).ok_or(format!("{option} needs a value"));
        match option.as_str() {
            "--help" | "-h" => return Ok(Parsed::Show(USAGE.to_owned())),
            "--version" | "-v" => {
                return Ok(Parsed::Show(format!("Linux cygnetd {}\n", env!("CARGO_PKG_VERSION"))));
            }
            "--conf" => args.conf = Some(PathBuf::from(value()?)),
            "--use-syslog" => args.use_syslog = true,
            _ => {
                let group =
                    option.strip_prefix("--debug-").ok_or(format!("unknown option {word}"))?.to_owned();
                let mut known = crate::observers::log::Levels::new(0);
                if !known.set(&group, 0) {
                    return Err(format!("there is no log group '{group}'"));
                }
                let text = value()?;
                let level = text.parse().map_err(|_| format!("'{text}' is no log level"))?;
                args.levels.push((group, level));
            }
        }
    }
    Ok(Parsed::Run(args))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(words: &[&str]) -> Result<Parsed, String> {
        parse(words.iter().map(ToString::to_string))
    }

    #[test]
    fn options() {
        let Ok(Parsed::Run(args)) = run(&["--conf", "/a", "--debug-ike", "3", "--debug-net=2"]) else {
            panic!()
        };
        assert_eq!(args.conf, Some(PathBuf::from("/a")));
        assert_eq!(args.levels, [("ike".to_owned(), 3), ("net".to_owned(), 2)]);
        assert!(matches!(run(&["--version"]), Ok(Parsed::Show(_))));
        assert!(run(&["--debug-nix", "1"]).is_err());
        assert!(run(&["--conf"]).is_err());
        assert!(run(&["--nix"]).is_err());
    }
}
