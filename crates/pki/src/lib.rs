//! Loads keys and certificates, builds and judges chains, CRLs and OCSP answers; asks for downloads, never downloads.
