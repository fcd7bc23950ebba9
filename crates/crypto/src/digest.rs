//! Bare digests: MD5, which RADIUS and EAP-MD5 are built on and which resists no collisions, and SHA-256.

use md5::{Digest as _, Md5};

/// MD5 of the parts one after the other.
#[must_use]
pub fn md5(parts: &[&[u8]]) -> [u8; 16] {
    let mut context = Md5::new();
    for part in parts {
        context.update(part);
    }
    context.finalize().into()
}

/// SHA-256 of the parts one after the other.
#[must_use]
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    for part in parts {
        context.update(part);
    }
    let mut out = [0; 32];
    for (to, from) in out.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::HEXLOWER;

    #[test]
    fn rfc_1321_suite() {
        for (text, digest) in [
            ("", "d41d8cd98f00b204e9800998ecf8427e"),
            ("abc", "900150983cd24fb0d6963f7d28e17f72"),
            ("message digest", "f96b697d7cb7938d525a2f31aaf161d0"),
        ] {
            assert_eq!(HEXLOWER.encode(&md5(&[text.as_bytes()])), digest);
        }
        assert_eq!(md5(&[b"a", b"", b"bc"]), md5(&[b"abc"]));
    }
    /// FIPS 180-4, its first example.
    #[test]
    fn sha_256_of_abc() {
        let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(HEXLOWER.encode(&sha256(&[b"a", b"bc"])), digest);
    }
}
