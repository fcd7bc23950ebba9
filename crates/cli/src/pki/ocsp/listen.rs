//! An OCSP responder over HTTP (RFC 6960 A): POST, and GET with the request in the path.
use super::Responder;
use crate::out::complain;
use crate::pki::{Outcome, Trouble, dates};
use data_encoding::BASE64;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Bytes of a request.
const MAX_REQUEST: usize = 16 << 10;
/// Connections at once; the next ones wait.
const MAX_CONNECTIONS: usize = 64;
/// How long a connection may take.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn run(address: SocketAddr, responder: Responder) -> Outcome {
    let failed = |error: std::io::Error| Trouble::Failed(format!("listening on {address} failed: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    runtime.block_on(async {
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let local = listener.local_addr().map_err(failed)?;
        complain!("answering OCSP requests at http://{local}/");
        let responder = Arc::new(responder);
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return Ok(0) };
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    complain!("accepting a connection failed: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let responder = Arc::clone(&responder);
            tokio::spawn(async move {
                let service = service_fn(move |request| serve(Arc::clone(&responder), request));
                let connection = hyper::server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(PATIENCE)
                    .serve_connection(TokioIo::new(stream), service);
                // Who is too slow or speaks something else is left alone.
                drop(tokio::time::timeout(PATIENCE, connection).await);
                drop(place);
            });
        }
    })
}

async fn serve(
    responder: Arc<Responder>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let bytes = match *request.method() {
        Method::POST => Limited::new(request.into_body(), MAX_REQUEST)
            .collect()
            .await
            .map(|body| body.to_bytes().to_vec())
            .map_err(|_| StatusCode::PAYLOAD_TOO_LARGE),
        Method::GET => in_path(request.uri().path()).ok_or(StatusCode::BAD_REQUEST),
        _ => Err(StatusCode::METHOD_NOT_ALLOWED),
    };
    let answer = bytes.and_then(|bytes| {
        responder.answer(&bytes, dates::now()).map_err(|trouble| {
            complain!("{trouble}");
            StatusCode::INTERNAL_SERVER_ERROR
        })
    });
    let mut response = Response::new(Full::default());
    match answer {
        Ok(der) => {
            let headers = response.headers_mut();
            headers
                .insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/ocsp-response"));
            headers.insert(CACHE_CONTROL, hyper::header::HeaderValue::from_static("no-cache"));
            *response.body_mut() = Full::new(der.into());
        }
        Err(status) => *response.status_mut() = status,
    }
    Ok(response)
}

/// `/` and the Base64 of the request, where `+`, `/` and `=` may be percent-encoded.
fn in_path(path: &str) -> Option<Vec<u8>> {
    if path.len() > MAX_REQUEST {
        return None;
    }
    let text = path.strip_prefix('/')?;
    let text = text.replace("%2B", "+").replace("%2b", "+").replace("%2F", "/").replace("%2f", "/");
    BASE64.decode(text.replace("%3D", "=").replace("%3d", "=").as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_in_paths() {
        assert_eq!(in_path("/MAA%3D").unwrap(), [0x30, 0]);
        assert_eq!(in_path("/MAA=").unwrap(), [0x30, 0]);
        assert!(in_path("/%").is_none());
        assert!(in_path("").is_none());
    }
}
