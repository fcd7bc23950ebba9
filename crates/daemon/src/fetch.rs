//! Downloads: CRLs, OCSP responses, certificates by URL, secrets out of a Vault. Bounded in time, size and number;
//! nobody's IKE_SA waits for another's download.
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Downloads under way at a time; the others wait, within their own time limit.
const PARALLEL: usize = 16;
/// Downloads waiting; more are refused.
const WAITING: usize = 1024;

/// What to load and how much of it.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    /// `http://…`, `file:///…`, and with a TLS set-up `https://…`.
    pub(crate) url: String,
    /// A body to POST, with its media type; without one it is a GET.
    pub(crate) post: Option<(&'static str, Vec<u8>)>,
    /// More header fields. Values are never logged.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// Bytes accepted.
    pub(crate) most: usize,
    /// Time for all of it, waiting for a turn included.
    pub(crate) patience: Duration,
}

/// Why there is nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("`{0}` is no URL that can be loaded (http, file)")]
    Url(String),
    #[error("ldap is not available, publish at an http URL: {0}")]
    Ldap(String),
    #[error("too many downloads are waiting")]
    Busy,
    #[error("took longer than {0:?}")]
    Slow(Duration),
    #[error("more than {0} bytes")]
    Big(usize),
    #[error("the server answers {0}")]
    Status(StatusCode),
    #[error("{0}")]
    Failed(String),
}

/// Loads things. Copies share the limits.
#[derive(Clone)]
pub(crate) struct Fetcher {
    plain: Client<HttpConnector, Full<Bytes>>,
    secure: Option<Client<HttpsConnector<HttpConnector>, Full<Bytes>>>,
    running: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

impl Fetcher {
    /// For http and files: what is loaded proves itself by its signature (RFC 5280 8, RFC 6960 5).
    pub(crate) fn new() -> Self {
        Self {
            plain: Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http(),
            secure: None,
            running: Arc::new(Semaphore::new(PARALLEL)),
            waiting: Arc::new(Semaphore::new(WAITING)),
        }
    }

    /// Also for https, trusting the CA certificates in the file `ca` (PEM), or those that the system trusts.
    pub(crate) fn with_tls(ca: Option<&Path>) -> Result<Self, String> {
        let mut roots = rustls::RootCertStore::empty();
        match ca {
            Some(path) => {
                let named = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
                for der in CertificateDer::pem_file_iter(path).map_err(|e| named(&e))? {
                    roots.add(der.map_err(|e| named(&e))?).map_err(|e| named(&e))?;
                }
                if roots.is_empty() {
                    return Err(format!("{}: no certificate in it", path.display()));
                }
            }
            None => {
                // Some of a system's certificates may be beyond rustls; the others serve.
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| e.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_only().enable_http1().build();
        let secure = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
        Ok(Self { secure: Some(secure), ..Self::new() })
    }

    /// Loads.
    pub(crate) async fn load(&self, load: Load) -> Result<Vec<u8>, FetchError> {
        let _place = self.waiting.clone().try_acquire_owned().map_err(|_| FetchError::Busy)?;
        let patience = load.patience;
        let work = async {
            let _turn = self.running.clone().acquire_owned().await;
            self.work(load).await
        };
        tokio::time::timeout(patience, work).await.unwrap_or(Err(FetchError::Slow(patience)))
    }

    async fn work(&self, load: Load) -> Result<Vec<u8>, FetchError> {
        if let Some(path) = load.url.strip_prefix("file://") {
            return file(path.to_owned(), load.most).await;
        }
        let uri: Uri = load.url.parse().map_err(|_| FetchError::Url(load.url.clone()))?;
        let secure = match (uri.scheme_str(), &self.secure) {
            (Some("http"), _) => None,
            (Some("https"), Some(client)) => Some(client),
            (Some("ldap" | "ldaps"), _) => return Err(FetchError::Ldap(load.url)),
            _ => return Err(FetchError::Url(load.url)),
        };
        let mut request = Request::builder().uri(&uri).header(header::USER_AGENT, "cygnet");
        for (name, value) in load.headers {
            request = request.header(name, value);
        }
        let request = match load.post {
            Some((media, body)) => request
                .method(Method::POST)
                .header(header::CONTENT_TYPE, media)
                .body(Full::new(Bytes::from(body))),
            None => request.method(Method::GET).body(Full::default()),
        };
        let request = request.map_err(|_| FetchError::Url(load.url.clone()))?;
        let answer = match secure {
            Some(client) => client.request(request).await,
            None => self.plain.request(request).await,
        };
        let answer = answer.map_err(|e| FetchError::Failed(causes(&e)))?;
        // Redirections are not followed: they could lead anywhere (CVE-2022-40617's kind).
        if answer.status() != StatusCode::OK {
            return Err(FetchError::Status(answer.status()));
        }
        let body = Limited::new(answer.into_body(), load.most).collect().await;
        match body {
            Ok(body) => Ok(body.to_bytes().to_vec()),
            Err(e) if e.is::<http_body_util::LengthLimitError>() => Err(FetchError::Big(load.most)),
            Err(e) => Err(FetchError::Failed(e.to_string())),
        }
    }
}

/// Reads a file, no more than `most` bytes of it.
async fn file(path: String, most: usize) -> Result<Vec<u8>, FetchError> {
    use tokio::io::AsyncReadExt as _;
    let failed = |e: std::io::Error| FetchError::Failed(format!("{path}: {e}"));
    let file = tokio::fs::File::open(&path).await.map_err(failed)?;
    if !file.metadata().await.map_err(failed)?.is_file() {
        return Err(FetchError::Failed(format!("{path}: not a regular file")));
    }
    let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes).await.map_err(failed)?;
    if bytes.len() > most { Err(FetchError::Big(most)) } else { Ok(bytes) }
}

/// An error and what is behind it, on one line.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    /// A web server on loopback that gives the answer of `respond` to each of `times` requests (head and body, as
    /// read in one go).
    pub(crate) fn server(times: usize, respond: impl Fn(&str) -> Vec<u8> + Send + 'static) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for _ in 0..times {
                let Ok((mut stream, _)) = listener.accept() else { return };
                let mut buffer = vec![0; 4096];
                let read = stream.read(&mut buffer).unwrap_or(0);
                let _gone = stream.write_all(&respond(&String::from_utf8_lossy(&buffer[..read])));
            }
        });
        format!("http://{address}")
    }

    pub(crate) fn ok(body: &str) -> Vec<u8> {
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
            .into_bytes()
    }

    fn load(url: impl Into<String>) -> Load {
        let patience = Duration::from_secs(20);
        Load { url: url.into(), post: None, headers: Vec::new(), most: 100, patience }
    }

    #[tokio::test]
    async fn gets_posts_and_limits() {
        let url = server(4, |request| match request.lines().next().unwrap_or("") {
            "GET /crl HTTP/1.1" => ok("a list"),
            "POST /ocsp HTTP/1.1" if request.contains("content-type: application/ocsp-request") => ok("good"),
            "GET /big HTTP/1.1" => ok(&"x".repeat(101)),
            _ => b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n".to_vec(),
        });
        let fetcher = Fetcher::new();
        assert_eq!(fetcher.load(load(format!("{url}/crl"))).await.unwrap(), b"a list");
        let post = Some(("application/ocsp-request", b"request".to_vec()));
        assert_eq!(fetcher.load(Load { post, ..load(format!("{url}/ocsp")) }).await.unwrap(), b"good");
        assert!(matches!(fetcher.load(load(format!("{url}/big"))).await, Err(FetchError::Big(100))));
        let moved = fetcher.load(load(format!("{url}/moved"))).await;
        assert!(matches!(moved, Err(FetchError::Status(StatusCode::FOUND))), "{moved:?}");
        for url in ["ldap://x/", "https://127.0.0.1/", "gopher://x", "", "http://", "x y"] {
            assert!(fetcher.load(load(url)).await.is_err(), "{url}");
        }
    }

    #[tokio::test]
    async fn files_are_regular_and_small() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.crl");
        std::fs::write(&path, "a list").unwrap();
        let url = format!("file://{}", path.display());
        assert_eq!(Fetcher::new().load(load(&url)).await.unwrap(), b"a list");
        assert!(matches!(Fetcher::new().load(Load { most: 5, ..load(&url) }).await, Err(FetchError::Big(5))));
        for path in ["/dev/zero", "/nonexistent"] {
            assert!(Fetcher::new().load(load(format!("file://{path}"))).await.is_err());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_server_costs_its_time_only() {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", silent.local_addr().unwrap());
        let patience = Duration::from_secs(3);
        let result = Fetcher::new().load(Load { patience, ..load(url) }).await;
        assert!(matches!(result, Err(FetchError::Slow(_))), "{result:?}");
    }
}
