//! MD5 as a bare digest, which RADIUS and EAP-MD5 are built on. Nothing here resists collisions.

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
}
