//! Where a database is: strongSwan's database URIs.
use std::fmt;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The three kinds of database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A file.
    Sqlite,
    /// MySQL or MariaDB.
    Mysql,
    /// PostgreSQL.
    Postgres,
}

/// A database URI. Neither `Display` nor `Debug` show the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Uri {
    kind: Kind,
    /// As the driver takes it.
    url: Zeroizing<String>,
    shown: String,
    path: Option<PathBuf>,
}

/// Why a text is no database URI.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UriError {
    /// Another scheme, or none.
    #[error(
        "a database is written sqlite:///path, mysql://user:password@host/database or postgresql://user:password@host/database"
    )]
    Scheme,
    /// Without what it cannot be reached.
    #[error("the database URI names no {0}")]
    Missing(&'static str),
}

/// Where MySQL and MariaDB servers have their local socket.
const SOCKETS: &[&str] = &["/run/mysqld/mysqld.sock", "/var/lib/mysql/mysql.sock", "/tmp/mysql.sock"];

impl Uri {
    /// Reads `sqlite://path`, `mysql://user:password@host[:port]/database`, or `postgresql://…` (also `postgres://`).
    ///
    /// User and password of MySQL stand as they are, as with strongSwan; those of PostgreSQL may be percent-encoded.
    /// As in MySQL's own clients the host `localhost` without a port means the local socket, where there is one.
    ///
    /// # Errors
    /// [`UriError`]: not such a text. It never repeats the text, which may hold a password.
    pub fn parse(text: &str) -> Result<Self, UriError> {
        let (scheme, rest) = text.trim().split_once("://").ok_or(UriError::Scheme)?;
        match scheme {
            "sqlite" => Self::sqlite(rest),
            "mysql" | "mariadb" => Self::server(Kind::Mysql, rest),
            "postgresql" | "postgres" => Self::server(Kind::Postgres, rest),
            _ => Err(UriError::Scheme),
        }
    }

    fn sqlite(path: &str) -> Result<Self, UriError> {
        if path.is_empty() {
            return Err(UriError::Missing("file"));
        }
        let path = std::path::absolute(path).map_err(|_| UriError::Missing("file"))?;
        let encoded = encode(&path.to_string_lossy(), b"/");
        Ok(Self {
            kind: Kind::Sqlite,
            url: Zeroizing::new(format!("sqlite://{encoded}")),
            shown: format!("sqlite://{}", path.display()),
            path: Some(path),
        })
    }

    fn server(kind: Kind, rest: &str) -> Result<Self, UriError> {
        let (user, place) = rest.rsplit_once('@').unwrap_or(("", rest));
        let (user, password) = match user.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (user, None),
        };
        let (place, query) = match place.split_once('?') {
            Some((place, query)) => (place, Some(query)),
            None => (place, None),
        };
        let (host, database) = place.split_once('/').ok_or(UriError::Missing("database"))?;
        if database.is_empty() {
            return Err(UriError::Missing("database"));
        }
        if host.is_empty() && query.is_none() {
            return Err(UriError::Missing("host"));
        }
        let scheme = if kind == Kind::Mysql { "mysql" } else { "postgresql" };
        let at = if user.is_empty() { String::new() } else { format!("{user}@") };
        let shown = format!("{scheme}://{at}{host}/{database}");
        // What PostgreSQL's clients take is encoded already.
        let encoded = |text: &str| if kind == Kind::Mysql { encode(text, b"") } else { encode(text, b"%") };
        let mut url = Zeroizing::new(format!("{scheme}://{}", encoded(user)));
        if let Some(password) = password {
            url.push(':');
            url.push_str(&Zeroizing::new(encoded(password)));
        }
        if !user.is_empty() {
            url.push('@');
        }
        url.push_str(if host.is_empty() { "localhost" } else { host });
        url.push('/');
        url.push_str(&encode(database, b"%"));
        let mut separator = '?';
        if let Some(query) = query {
            url.push(separator);
            url.push_str(query);
            separator = '&';
        }
        let local =
            kind == Kind::Mysql && host == "localhost" && !query.is_some_and(|q| q.contains("socket="));
        if let Some(socket) = SOCKETS.iter().find(|socket| local && Path::new(socket).exists()) {
            url.push(separator);
            url.push_str("socket=");
            url.push_str(socket);
        }
        Ok(Self { kind, url, shown, path: None })
    }

    /// Which kind of database.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The file of an SQLite database.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Uri({})", self.shown)
    }
}

/// Percent-encodes all but letters, digits, `-._~` and `keep`.
fn encode(text: &str, keep: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || keep.contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_read_and_no_password_is_shown() {
        let sqlite = Uri::parse("sqlite:///etc/db.d/ipsec.db").unwrap();
        assert_eq!(sqlite.path(), Some(Path::new("/etc/db.d/ipsec.db")));
        assert_eq!(sqlite.to_string(), "sqlite:///etc/db.d/ipsec.db");
        let mysql = Uri::parse("mysql://vpn:se/cr#t@1%41@db.example:3307/ipsec").unwrap();
        assert_eq!(mysql.to_string(), "mysql://vpn@db.example:3307/ipsec");
        assert_eq!(mysql.url(), "mysql://vpn:se%2Fcr%23t%401%2541@db.example:3307/ipsec");
        let postgres = Uri::parse("postgresql://vpn:a%40b@[2001:db8::1]/ipsec?sslmode=disable").unwrap();
        assert_eq!(postgres.to_string(), "postgresql://vpn@[2001:db8::1]/ipsec");
        assert_eq!(postgres.url(), "postgresql://vpn:a%40b@[2001:db8::1]/ipsec?sslmode=disable");
        for uri in [mysql, postgres] {
            assert!(!format!("{uri:?}").contains("se/cr") && !format!("{uri:?}").contains("a%40b"));
        }
    }

    #[test]
    fn what_is_no_uri_is_refused_without_repeating_it() {
        for (text, error) in [
            ("/etc/ipsec.db", UriError::Scheme),
            ("oracle://a:secret@b/c", UriError::Scheme),
            ("sqlite://", UriError::Missing("file")),
            ("mysql://vpn:secret@host", UriError::Missing("database")),
            ("mysql://vpn:secret@host/", UriError::Missing("database")),
            ("mysql://vpn:secret@/ipsec", UriError::Missing("host")),
        ] {
            assert_eq!(Uri::parse(text), Err(error.clone()));
            assert!(!error.to_string().contains("secret"));
        }
    }
}
