//! Secrets out of a HashiCorp Vault (or OpenBao), key/value engines of version 1 and 2, by the HTTP API
//! `GET /v1/<path>`. The daemon reads them itself, so that they pass neither files nor the control socket.
use crate::fetch::{FetchError, Fetcher, Load};
use config::VaultPath;
use config::schema::daemon::credentials::VaultSettings;
use crypto::Secret;
use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

/// A secret is small.
const MOST: usize = 256 * 1024;

/// Why there is no secret. No text holds one, nor the token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VaultError {
    #[error("no Vault is configured: set charon.plugins.vault.address")]
    None,
    #[error("there is no token for the Vault: {0}")]
    Token(String),
    #[error("the Vault's CA: {0}")]
    Ca(String),
    #[error("{place} in the Vault at {address}: {reason}")]
    Failed { place: String, address: String, reason: String },
}

/// A client of one Vault.
#[derive(Clone)]
pub(crate) struct Vault {
    settings: VaultSettings,
    fetcher: Fetcher,
    /// `VAULT_TOKEN` as it was at start.
    token: Option<Secret>,
}

impl Vault {
    /// The Vault of the settings; `token` is the environment's, for where no file has one.
    pub(crate) fn new(settings: &VaultSettings, token: Option<Secret>) -> Result<Self, VaultError> {
        let fetcher = if settings.address.starts_with("https:") {
            Fetcher::with_tls(settings.ca.as_deref().map(Path::new)).map_err(VaultError::Ca)?
        } else {
            Fetcher::new()
        };
        Ok(Self { settings: settings.clone(), fetcher, token })
    }

    /// Reads the token anew each time: agents renew the file.
    async fn token(&self) -> Result<Secret, VaultError> {
        let Some(path) = &self.settings.token_file else {
            let missing = "set charon.plugins.vault.token_file or the environment variable VAULT_TOKEN";
            return self.token.clone().ok_or_else(|| VaultError::Token(missing.into()));
        };
        let bytes = tokio::fs::read(path).await.map_err(|e| VaultError::Token(format!("{path}: {e}")))?;
        let bytes = Secret::new(bytes);
        Ok(Secret::from(bytes.as_slice().trim_ascii()))
    }

    /// Reads one secret.
    pub(crate) async fn read(&self, place: &VaultPath) -> Result<Secret, VaultError> {
        let failed = |reason: String| VaultError::Failed {
            place: place.to_string(),
            address: self.settings.address.clone(),
            reason,
        };
        let token = self.token().await?;
        let mut token = HeaderValue::from_bytes(token.as_slice())
            .map_err(|_| VaultError::Token("it is no single line of text".into()))?;
        token.set_sensitive(true);
        let mut headers = vec![(HeaderName::from_static("x-vault-token"), token)];
        if let Some(namespace) = &self.settings.namespace {
            let value = HeaderValue::from_str(namespace).map_err(|_| failed("odd namespace".into()))?;
            headers.push((HeaderName::from_static("x-vault-namespace"), value));
        }
        let load = Load {
            url: format!("{}/v1/{}", self.settings.address, place.path),
            post: None,
            headers,
            most: MOST,
            patience: Duration::from_secs(self.settings.timeout.max(1)),
        };
        let body = self.fetcher.load(load).await.map_err(|e| {
            failed(match e {
                FetchError::Status(StatusCode::FORBIDDEN) => {
                    "permission denied: the token is wrong or expired, or its policy lacks `read` on this path".into()
                }
                FetchError::Status(StatusCode::NOT_FOUND) => {
                    "there is nothing (with version 2 of the engine the path has `data/` after the mount)".into()
                }
                FetchError::Status(StatusCode::SERVICE_UNAVAILABLE) => "the Vault is sealed".into(),
                other => other.to_string(),
            })
        })?;
        let body = Secret::new(body);
        field(body.as_slice(), &place.field).map_err(failed)
    }
}

/// The field of an answer: `data.data` of version 2 of the engine, `data` of version 1.
fn field(body: &[u8], name: &str) -> Result<Secret, String> {
    let mut answer: Value = serde_json::from_slice(body).map_err(|_| "the answer is no JSON".to_owned())?;
    let mut data = answer.get_mut("data").map(Value::take).unwrap_or_default();
    if data.get("metadata").is_some_and(Value::is_object) && data.get("data").is_some() {
        data = data.get_mut("data").map(Value::take).unwrap_or_default();
    }
    let Value::Object(fields) = data else {
        return Err("the secret was deleted, or is none of a key/value engine".into());
    };
    match fields.get(name) {
        Some(Value::String(text)) => Ok(Secret::from(text.as_bytes())),
        Some(Value::Number(number)) => Ok(Secret::from(number.to_string().as_bytes())),
        Some(_) => Err(format!("the field `{name}` is no text")),
        None => Err(format!("there is no field `{name}`, but {}", names(&fields))),
    }
}

/// The names of fields, for the operator; never their values.
fn names(fields: &serde_json::Map<String, Value>) -> String {
    let all: Vec<String> = fields.keys().take(8).map(|name| format!("`{name}`")).collect();
    if all.is_empty() { "nothing".into() } else { all.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::tests::{ok, server};

    /// Answers as a server of version 1.15 gave them.
    const V2: &str = r#"{"request_id":"0c6a9bd1-b2d2-9f0e-5f3a-7d2b8b6f9f11","lease_id":"","renewable":false,"lease_duration":0,"data":{"data":{"password":"s3cret \"word\"","pin":1234,"nested":{"a":1}},"metadata":{"created_time":"2023-10-01T12:00:00.1234Z","custom_metadata":null,"deletion_time":"","destroyed":false,"version":3}},"wrap_info":null,"warnings":null,"auth":null}"#;
    const V1: &str = r#"{"request_id":"4d8a","lease_id":"","renewable":false,"lease_duration":2764800,"data":{"data":"not this","password":"old"},"wrap_info":null,"warnings":null,"auth":null}"#;
    const DELETED: &str = r#"{"data":{"data":null,"metadata":{"deletion_time":"2023-10-01T12:00:00Z","destroyed":false,"version":1}}}"#;

    fn settings(address: String) -> VaultSettings {
        VaultSettings { address, token_file: None, namespace: Some("team".into()), ca: None, timeout: 10 }
    }

    #[test]
    fn answers_of_both_engines() {
        let text = |body, name| field(body, name).map(|s| String::from_utf8(s.as_slice().to_vec()).unwrap());
        assert_eq!(text(V2.as_bytes(), "password").unwrap(), "s3cret \"word\"");
        assert_eq!(text(V2.as_bytes(), "pin").unwrap(), "1234");
        assert_eq!(text(V1.as_bytes(), "password").unwrap(), "old");
        assert_eq!(text(V1.as_bytes(), "data").unwrap(), "not this");
        let error = text(V2.as_bytes(), "passwrod").unwrap_err();
        assert_eq!(error, "there is no field `passwrod`, but `password`, `pin`, `nested`");
        assert!(text(V2.as_bytes(), "nested").unwrap_err().contains("no text"));
        assert!(text(DELETED.as_bytes(), "password").unwrap_err().contains("deleted"));
        for junk in ["", "[]", "{}", "{\"data\":7}", "{\"data\":[]}", "<html>"] {
            assert!(text(junk.as_bytes(), "password").is_err());
        }
    }

    #[tokio::test]
    async fn the_token_comes_from_a_file_or_the_environment() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("token");
        let address = server(4, |request| {
            let known =
                request.contains("x-vault-token: hvs.good") && request.contains("x-vault-namespace: team");
            match request.lines().next() {
                Some("GET /v1/secret/data/vpn/alice HTTP/1.1") if known => ok(V2),
                Some(_) if known => {
                    b"HTTP/1.1 404 Not Found\r\ncontent-length: 13\r\n\r\n{\"errors\":[]}".to_vec()
                }
                _ => b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n".to_vec(),
            }
        });
        let place = VaultPath::parse("secret/data/vpn/alice#password").unwrap();
        let with = |token: &str| {
            Vault::new(&settings(address.clone()), Some(Secret::from(token.as_bytes()))).unwrap()
        };
        assert_eq!(with("hvs.good").read(&place).await.unwrap().as_slice(), b"s3cret \"word\"");
        let error = with("hvs.bad").read(&place).await.unwrap_err().to_string();
        assert!(error.contains("permission denied") && !error.contains("hvs.bad"), "{error}");
        let elsewhere = VaultPath::parse("secret/vpn/alice#password").unwrap();
        let error = with("hvs.good").read(&elsewhere).await.unwrap_err().to_string();
        assert!(error.starts_with("secret/vpn/alice:password in the Vault at http://127.0.0.1:"), "{error}");
        assert!(error.contains("`data/` after the mount"), "{error}");

        let from_file =
            VaultSettings { token_file: Some(file.display().to_string()), ..settings(address.clone()) };
        let vault = Vault::new(&from_file, None).unwrap();
        assert!(matches!(vault.read(&place).await, Err(VaultError::Token(_))));
        std::fs::write(&file, "hvs.good\n").unwrap();
        assert!(vault.read(&place).await.is_ok());
        let none = Vault::new(&settings(address), None).unwrap();
        assert!(none.read(&place).await.unwrap_err().to_string().contains("VAULT_TOKEN"));
    }
}
