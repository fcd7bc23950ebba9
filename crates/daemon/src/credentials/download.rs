//! Downloads for judges: one for all who want the same, and CRLs written to a file where that is configured.
use super::Shared;
use crate::fetch::{FetchError, Fetcher, Load};
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared as SharedFuture};
use pki::{Fetch, FetchKind};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

type Outcome = Result<Arc<Vec<u8>>, String>;

/// Downloads under way, by URL.
#[derive(Default)]
pub(crate) struct Downloads {
    running: Mutex<BTreeMap<String, SharedFuture<BoxFuture<'static, Outcome>>>>,
}

impl Downloads {
    /// Downloads, or waits for somebody else's download of the same.
    pub(crate) async fn get(
        &self,
        fetcher: &Fetcher,
        fetch: &Fetch,
        patience: Duration,
    ) -> Result<Vec<u8>, String> {
        let load = Load {
            url: fetch.url.clone(),
            // RFC 6960 A.1.
            post: fetch.body.clone().map(|body| ("application/ocsp-request", body)),
            headers: Vec::new(),
            most: fetch.kind.limit(),
            patience,
        };
        if load.post.is_some() {
            // Each request has its own nonce.
            return fetcher.load(load).await.map_err(|e: FetchError| e.to_string());
        }
        let url = load.url.clone();
        let work = {
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            // Those that ended, or that nobody waits for any more.
            running.retain(|_, work| work.peek().is_none() && work.strong_count().unwrap_or(0) > 1);
            let fetcher = fetcher.clone();
            running
                .entry(url)
                .or_insert_with(|| {
                    let work =
                        async move { fetcher.load(load).await.map(Arc::new).map_err(|e| e.to_string()) };
                    work.boxed().shared()
                })
                .clone()
        };
        work.await.map(|bytes| bytes.as_ref().clone())
    }
}

impl Shared {
    /// Downloads what a judge wants.
    pub(crate) async fn download(&self, fetch: &Fetch) -> Result<Vec<u8>, String> {
        let patience = Duration::from_secs(self.settings.load().fetch_timeout);
        self.downloads.get(&self.fetcher, fetch, patience).await
    }

    /// Writes a CRL that was just fetched, once it was verified (it is in the cache then), where `charon.cache_crls` says
    /// so. Not for the runtime's own threads.
    ///
    /// # Errors
    /// Why it could not be written.
    pub(crate) fn keep_crl(&self, fetch: &Fetch, bytes: &[u8]) -> Result<Option<PathBuf>, String> {
        if fetch.kind != FetchKind::Crl || !self.settings.load().cache_crls {
            return Ok(None);
        }
        let Ok(der) = pki::container::to_der(bytes) else { return Ok(None) };
        let known = {
            let cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
            cache.crls().find(|crl| crl.der() == der).cloned()
        };
        let Some(crl) = known else { return Ok(None) };
        // charon's name: the key of the CA.
        let Some(id) = crl.authority_key_identifier() else { return Ok(None) };
        let delta = if crl.base().is_some() { "_delta" } else { "" };
        let directory =
            std::env::var_os("SWANCTL_DIR").map_or_else(|| PathBuf::from("/etc/swanctl"), PathBuf::from);
        let path =
            directory.join("x509crl").join(format!("{}{delta}.crl", data_encoding::HEXLOWER.encode(id)));
        // Beside, then in its place: whoever reads it meanwhile reads a whole one.
        let new = path.with_extension("crl.new");
        // There need not have been one yet.
        std::fs::create_dir_all(directory.join("x509crl"))
            .and_then(|()| std::fs::write(&new, crl.der()))
            .and_then(|()| std::fs::rename(&new, &path))
            .map_err(|e| format!("writing crl to {} failed: {e}", path.display()))?;
        Ok(Some(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::tests::{ok, server};
    use std::sync::atomic::{AtomicU32, Ordering};

    #[tokio::test]
    async fn one_download_for_all_who_want_the_same() {
        let count = Arc::new(AtomicU32::new(0));
        let seen = count.clone();
        let url = server(2, move |_| {
            seen.fetch_add(1, Ordering::SeqCst);
            ok("a list")
        });
        let fetch = Fetch { id: 1, kind: FetchKind::Crl, url: format!("{url}/crl"), body: None };
        let (downloads, fetcher) = (Downloads::default(), Fetcher::new());
        let get = || downloads.get(&fetcher, &fetch, Duration::from_secs(20));
        let (a, b, c) = tokio::join!(get(), get(), get());
        assert_eq!(
            (a.as_deref(), b.as_deref(), c.as_deref()),
            (Ok(&b"a list"[..]), Ok(&b"a list"[..]), Ok(&b"a list"[..]))
        );
        assert_eq!(count.load(Ordering::SeqCst), 1);
        // What is over is fetched anew: the judge's cache decides what is fresh.
        assert!(get().await.is_ok());
        assert_eq!(count.load(Ordering::SeqCst), 2);
    }
}
