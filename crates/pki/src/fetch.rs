//! Downloads that judging wants. Somebody else performs them, with a time limit.

/// What is to be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchKind {
    /// A CRL (GET).
    Crl,
    /// An OCSP response (POST of `application/ocsp-request`).
    Ocsp,
    /// A certificate (GET).
    Certificate,
}

impl FetchKind {
    /// More bytes than this must not be read.
    #[must_use]
    pub fn limit(self) -> usize {
        match self {
            Self::Crl => crate::crl::MAX_CRL,
            Self::Ocsp => crate::ocsp::MAX_RESPONSE,
            Self::Certificate => crate::cert::MAX_CERTIFICATE,
        }
    }
}

/// A download. Its URL begins with `http://` or `https://`, or is a `file://` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetch {
    /// Names it in the answer.
    pub id: u32,
    /// What it is.
    pub kind: FetchKind,
    /// Where.
    pub url: String,
    /// Body to POST; without one it is a GET.
    pub body: Option<Vec<u8>>,
}

/// Whether the URL is one that can be fetched.
pub(crate) fn is_http(url: &str) -> bool {
    let scheme = |name: &str| url.get(..name.len()).is_some_and(|head| head.eq_ignore_ascii_case(name));
    (scheme("http://") || scheme("https://"))
        && url.len() <= 2048
        && url.bytes().all(|b| b.is_ascii_graphic())
}
