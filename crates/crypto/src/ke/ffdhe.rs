//! The finite-field groups of TLS (RFC 7919 Appendix A).

use crypto_bigint::nlimbs;

use super::group::safe;
use super::modp::{Group, Modp};
use crate::{CryptoError, Rng, Secret};

/// A group of RFC 7919.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ffdhe {
    /// ffdhe2048.
    F2048,
    /// ffdhe3072.
    F3072,
    /// ffdhe4096.
    F4096,
}

impl Ffdhe {
    fn group(self) -> &'static dyn Group {
        match self {
            Self::F2048 => &FFDHE2048,
            Self::F3072 => &FFDHE3072,
            Self::F4096 => &FFDHE4096,
        }
    }

    /// Bytes of a public value and of the shared secret.
    #[must_use]
    pub fn size(self) -> usize {
        self.group().len()
    }

    /// Draws a private key: it, and the public value.
    ///
    /// # Errors
    /// None that should happen.
    pub fn start(self, rng: &mut Rng) -> Result<(Secret, Vec<u8>), CryptoError> {
        let private = self.group().private(rng);
        let public = self.group().public(private.as_slice())?;
        Ok((private, public))
    }

    /// The shared secret, with its leading zeros. The peer's value may lack its own (RFC 5246 8.1.2).
    ///
    /// # Errors
    /// A value that is longer than the group's, or 0, 1 or p - 1 (RFC 7919 5.1).
    pub fn finish(self, private: &Secret, peer: &[u8]) -> Result<Secret, CryptoError> {
        let want = self.size();
        let Some(missing) = want.checked_sub(peer.len()) else {
            return Err(CryptoError::Length { what: "public value", want, have: peer.len() });
        };
        self.group().shared(private.as_slice(), &[&vec![0; missing], peer].concat())
    }
}

static FFDHE2048: Modp<{ nlimbs(2048) }> = safe("FFDHE_2048", F2048, 320);
static FFDHE3072: Modp<{ nlimbs(3072) }> = safe("FFDHE_3072", F3072, 448);
static FFDHE4096: Modp<{ nlimbs(4096) }> = safe("FFDHE_4096", F4096, 512);

const F2048: &str = "\
     FFFFFFFFFFFFFFFFADF85458A2BB4A9AAFDC5620273D3CF1D8B9C583CE2D3695A9E13641146433FBCC939DCE249B3EF9\
     7D2FE363630C75D8F681B202AEC4617AD3DF1ED5D5FD65612433F51F5F066ED0856365553DED1AF3B557135E7F57C935\
     984F0C70E0E68B77E2A689DAF3EFE8721DF158A136ADE73530ACCA4F483A797ABC0AB182B324FB61D108A94BB2C8E3FB\
     B96ADAB760D7F4681D4F42A3DE394DF4AE56EDE76372BB190B07A7C8EE0A6D709E02FCE1CDF7E2ECC03404CD28342F61\
     9172FE9CE98583FF8E4F1232EEF28183C3FE3B1B4C6FAD733BB5FCBC2EC22005C58EF1837D1683B2C6F34A26C1B2EFFA\
     886B423861285C97FFFFFFFFFFFFFFFF";
const F3072: &str = "\
     FFFFFFFFFFFFFFFFADF85458A2BB4A9AAFDC5620273D3CF1D8B9C583CE2D3695A9E13641146433FBCC939DCE249B3EF9\
     7D2FE363630C75D8F681B202AEC4617AD3DF1ED5D5FD65612433F51F5F066ED0856365553DED1AF3B557135E7F57C935\
     984F0C70E0E68B77E2A689DAF3EFE8721DF158A136ADE73530ACCA4F483A797ABC0AB182B324FB61D108A94BB2C8E3FB\
     B96ADAB760D7F4681D4F42A3DE394DF4AE56EDE76372BB190B07A7C8EE0A6D709E02FCE1CDF7E2ECC03404CD28342F61\
     9172FE9CE98583FF8E4F1232EEF28183C3FE3B1B4C6FAD733BB5FCBC2EC22005C58EF1837D1683B2C6F34A26C1B2EFFA\
     886B4238611FCFDCDE355B3B6519035BBC34F4DEF99C023861B46FC9D6E6C9077AD91D2691F7F7EE598CB0FAC186D91C\
     AEFE130985139270B4130C93BC437944F4FD4452E2D74DD364F2E21E71F54BFF5CAE82AB9C9DF69EE86D2BC522363A0D\
     ABC521979B0DEADA1DBF9A42D5C4484E0ABCD06BFA53DDEF3C1B20EE3FD59D7C25E41D2B66C62E37FFFFFFFFFFFFFFFF";
const F4096: &str = "\
     FFFFFFFFFFFFFFFFADF85458A2BB4A9AAFDC5620273D3CF1D8B9C583CE2D3695A9E13641146433FBCC939DCE249B3EF9\
     7D2FE363630C75D8F681B202AEC4617AD3DF1ED5D5FD65612433F51F5F066ED0856365553DED1AF3B557135E7F57C935\
     984F0C70E0E68B77E2A689DAF3EFE8721DF158A136ADE73530ACCA4F483A797ABC0AB182B324FB61D108A94BB2C8E3FB\
     B96ADAB760D7F4681D4F42A3DE394DF4AE56EDE76372BB190B07A7C8EE0A6D709E02FCE1CDF7E2ECC03404CD28342F61\
     9172FE9CE98583FF8E4F1232EEF28183C3FE3B1B4C6FAD733BB5FCBC2EC22005C58EF1837D1683B2C6F34A26C1B2EFFA\
     886B4238611FCFDCDE355B3B6519035BBC34F4DEF99C023861B46FC9D6E6C9077AD91D2691F7F7EE598CB0FAC186D91C\
     AEFE130985139270B4130C93BC437944F4FD4452E2D74DD364F2E21E71F54BFF5CAE82AB9C9DF69EE86D2BC522363A0D\
     ABC521979B0DEADA1DBF9A42D5C4484E0ABCD06BFA53DDEF3C1B20EE3FD59D7C25E41D2B669E1EF16E6F52C3164DF4FB\
     7930E9E4E58857B6AC7D5F42D69F6D187763CF1D5503400487F55BA57E31CC7A7135C886EFB4318AED6A1E012D9E6832\
     A907600A918130C46DC778F971AD0038092999A333CB8B7A1A1DB93D7140003C2A4ECEA9F98D0ACC0A8291CDCEC97DCF\
     8EC9B55A7F88A46B4DB5A851F44182E1C68A007E5E655F6AFFFFFFFFFFFFFFFF";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_agree_and_weak_values_are_refused() {
        let mut rng = Rng::from_seed([3; 32]);
        for group in [Ffdhe::F2048, Ffdhe::F3072, Ffdhe::F4096] {
            let (a, public_a) = group.start(&mut rng).unwrap();
            let (b, public_b) = group.start(&mut rng).unwrap();
            assert_eq!(group.finish(&a, &public_b), group.finish(&b, &public_a));
            assert_eq!(group.finish(&a, &public_b).unwrap().len(), group.size());
            assert!(group.finish(&a, &[]).is_err());
            assert!(group.finish(&a, &[1]).is_err());
            assert!(group.finish(&a, &[&[0][..], &public_b].concat()).is_err());
            // p - 1.
            let mut last = vec![0xff; group.size()];
            assert!(group.finish(&a, &last).is_err());
            last[0] = 0;
            assert!(group.finish(&a, &last).is_ok());
        }
    }
}
