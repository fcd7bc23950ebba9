//! Finite-field Diffie-Hellman for TLS 1.2, which peers with old suites ask for (RFC 7919); the library has the frame for
//! it and leaves the numbers to us.
use crypto::ke::ffdhe::Ffdhe;
use crypto::{Rng, Secret};
use rustls::crypto::{ActiveKeyExchange, KeyExchangeAlgorithm, SharedSecret, SupportedKxGroup, aws_lc_rs};
use rustls::ffdhe_groups::{self, FfdheGroup};
use rustls::{
    CipherSuite, Error, NamedGroup, PeerMisbehaved, ProtocolVersion, SupportedCipherSuite, Tls12CipherSuite,
};
use std::sync::LazyLock;

/// The suites: those of the library with another key exchange.
pub(super) fn suites() -> Vec<SupportedCipherSuite> {
    SUITES.iter().map(SupportedCipherSuite::Tls12).collect()
}

/// The groups, the preferred one first: it is taken where a client names none.
pub(super) fn groups() -> Vec<&'static dyn SupportedKxGroup> {
    GROUPS.iter().map(|group| group as &dyn SupportedKxGroup).collect()
}

static SUITES: LazyLock<Vec<Tls12CipherSuite>> = LazyLock::new(|| {
    use rustls::crypto::aws_lc_rs::cipher_suite as like;
    [
        (CipherSuite::TLS_DHE_RSA_WITH_AES_256_GCM_SHA384, like::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
        (CipherSuite::TLS_DHE_RSA_WITH_AES_128_GCM_SHA256, like::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
    ]
    .into_iter()
    .filter_map(|(suite, like)| {
        let SupportedCipherSuite::Tls12(like) = like else { return None };
        Some(Tls12CipherSuite {
            common: rustls::crypto::CipherSuiteCommon {
                suite,
                hash_provider: like.common.hash_provider,
                confidentiality_limit: like.common.confidentiality_limit,
            },
            prf_provider: like.prf_provider,
            kx: KeyExchangeAlgorithm::DHE,
            sign: like.sign,
            aead_alg: like.aead_alg,
        })
    })
    .collect()
});

static GROUPS: [Group; 3] = [Group(Ffdhe::F3072), Group(Ffdhe::F2048), Group(Ffdhe::F4096)];

#[derive(Debug)]
struct Group(Ffdhe);

impl Group {
    fn named(&self) -> NamedGroup {
        match self.0 {
            Ffdhe::F2048 => NamedGroup::FFDHE2048,
            Ffdhe::F3072 => NamedGroup::FFDHE3072,
            Ffdhe::F4096 => NamedGroup::FFDHE4096,
        }
    }

    fn parameters(&self) -> FfdheGroup<'static> {
        match self.0 {
            Ffdhe::F2048 => ffdhe_groups::FFDHE2048,
            Ffdhe::F3072 => ffdhe_groups::FFDHE3072,
            Ffdhe::F4096 => ffdhe_groups::FFDHE4096,
        }
    }
}

impl SupportedKxGroup for Group {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let mut seed = [0; 32];
        aws_lc_rs::default_provider().secure_random.fill(&mut seed)?;
        let (private, public) =
            self.0.start(&mut Rng::from_seed(seed)).map_err(|e| Error::General(e.to_string()))?;
        Ok(Box::new(Started { group: Self(self.0), private, public }))
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        Some(self.parameters())
    }

    fn name(&self) -> NamedGroup {
        self.named()
    }

    fn usable_for_version(&self, version: ProtocolVersion) -> bool {
        version == ProtocolVersion::TLSv1_2
    }
}

struct Started {
    group: Group,
    private: Secret,
    public: Vec<u8>,
}

impl ActiveKeyExchange for Started {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        let shared = self.group.0.finish(&self.private, peer).map_err(|_| PeerMisbehaved::InvalidKeyShare)?;
        Ok(SharedSecret::from(shared.as_slice()))
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        Some(self.group.parameters())
    }

    fn pub_key(&self) -> &[u8] {
        &self.public
    }

    fn group(&self) -> NamedGroup {
        self.group.named()
    }
}
