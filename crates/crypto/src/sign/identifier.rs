//! How a signature scheme is named in certificates and AUTH payloads (RFC 5280 4.1.1.2, RFC 4055, RFC 7427 A).
use super::{Hash, SignScheme};

const PKCS1: [u8; 8] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
const SHA1: [u8; 5] = [0x2b, 0x0e, 0x03, 0x02, 0x1a];
const SHA2: [u8; 8] = [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02];
const ECDSA: [u8; 6] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04];
const NULL: [u8; 2] = [0x05, 0x00];

/// Tag, length, value; nothing here is 128 bytes long.
fn tlv(tag: u8, value: &[u8]) -> Option<Vec<u8>> {
    let length = u8::try_from(value.len()).ok().filter(|length| *length < 0x80)?;
    Some([&[tag, length], value].concat())
}

fn oid(arcs: &[u8], last: &[u8]) -> Option<Vec<u8>> {
    tlv(0x06, &[arcs, last].concat())
}

fn digest(hash: Hash) -> Option<Vec<u8>> {
    let name = match hash {
        Hash::Sha1 => oid(&SHA1, &[]),
        Hash::Sha256 => oid(&SHA2, &[1]),
        Hash::Sha384 => oid(&SHA2, &[2]),
        Hash::Sha512 => oid(&SHA2, &[3]),
    };
    tlv(0x30, &[name?.as_slice(), &NULL].concat())
}

impl SignScheme {
    /// DER of the AlgorithmIdentifier, the parameters of RSASSA-PSS written out; raw ECDSA has none.
    #[must_use]
    pub fn identifier(self) -> Option<Vec<u8>> {
        let body = match self {
            Self::RsaPkcs1(hash) => {
                let last = match hash {
                    Hash::Sha1 => 5,
                    Hash::Sha256 => 11,
                    Hash::Sha384 => 12,
                    Hash::Sha512 => 13,
                };
                [oid(&PKCS1, &[last])?.as_slice(), &NULL].concat()
            }
            Self::RsaPss(hash) => {
                let digest = digest(hash)?;
                let mask = tlv(0x30, &[oid(&PKCS1, &[8])?, digest.clone()].concat())?;
                let salt = tlv(0x02, &[u8::try_from(hash.size()).ok()?])?;
                let parameters = [tlv(0xa0, &digest)?, tlv(0xa1, &mask)?, tlv(0xa2, &salt)?].concat();
                [oid(&PKCS1, &[10])?, tlv(0x30, &parameters)?].concat()
            }
            Self::EcdsaDer(Hash::Sha1) => oid(&ECDSA, &[1])?,
            Self::EcdsaDer(Hash::Sha256) => oid(&ECDSA, &[3, 2])?,
            Self::EcdsaDer(Hash::Sha384) => oid(&ECDSA, &[3, 3])?,
            Self::EcdsaDer(Hash::Sha512) => oid(&ECDSA, &[3, 4])?,
            Self::Ed25519 => oid(&[0x2b, 0x65], &[0x70])?,
            Self::Ed448 => oid(&[0x2b, 0x65], &[0x71])?,
            Self::EcdsaRaw(_) => return None,
        };
        tlv(0x30, &body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7427 A.1.2, A.3.2, A.4.3, and RFC 8410 for Ed25519.
    #[test]
    fn algorithm_identifiers_of_the_rfc() {
        let hex =
            |s: SignScheme| s.identifier().unwrap().iter().map(|b| format!("{b:02x}")).collect::<String>();
        assert_eq!(hex(SignScheme::RsaPkcs1(Hash::Sha256)), "300d06092a864886f70d01010b0500");
        assert_eq!(hex(SignScheme::EcdsaDer(Hash::Sha256)), "300a06082a8648ce3d040302");
        assert_eq!(hex(SignScheme::Ed25519), "300506032b6570");
        assert_eq!(
            hex(SignScheme::RsaPss(Hash::Sha256)),
            "304106092a864886f70d01010a3034a00f300d06096086480165030402010500a11c301a06092a864886f70d010108300d06096086480165030402010500a203020120"
        );
    }
}
