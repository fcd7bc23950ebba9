//! prf and prf+: RFC 4434, RFC 4615, and RFC 7296 2.13 computed with Python's hmac.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use crypto::prf;
use data_encoding::HEXLOWER;
use wire::iana::Prf;

fn counting(len: u8) -> Vec<u8> {
    (0..len).collect()
}

fn run(prf: Prf, key: &[u8], data: &[u8]) -> String {
    HEXLOWER.encode(prf::compute(prf, key, &[data]).unwrap().as_slice())
}

#[test]
fn rfc_4434() {
    let long: Vec<u8> = [counting(16), vec![0xed, 0xcb]].concat();
    assert_eq!(run(Prf::Aes128Xcbc, &counting(16), &counting(20)), "47f51b4564966215b8985c63055ed308");
    assert_eq!(run(Prf::Aes128Xcbc, &counting(10), &counting(20)), "0fa087af7d866e7653434e602fdde835");
    assert_eq!(run(Prf::Aes128Xcbc, &long, &counting(20)), "8cd3c93ae598a9803006ffb67c40e9e4");
}

#[test]
fn rfc_4615() {
    let long: Vec<u8> = [counting(16), vec![0xed, 0xcb]].concat();
    assert_eq!(run(Prf::Aes128Cmac, &long, &counting(20)), "84a348a4a45d235babfffc0d2b4da09a");
    assert_eq!(run(Prf::Aes128Cmac, &counting(16), &counting(20)), "980ae87b5f4c9c5214f5b6a8455e4c2d");
    assert_eq!(run(Prf::Aes128Cmac, &counting(10), &counting(20)), "290d9e112edb09ee141fcf64c0b72f3d");
}

#[test]
fn prf_plus_as_python() {
    let key = counting(32);
    let seed: Vec<u8> = (100..148).collect();
    for (prf, start, digest_of_all) in [
        (
            Prf::HmacMd5,
            "9ee8fa031c166a005e1d646183db63c849b1db5dfd02b58d546942d77ea0d1b0ea7acdda74016c29ccf84ebd1dad783d9403115c",
            "1fccc4f37c5cb5c7347eba5b9c897bcb87f0f42d63c1c4d7722202e71839e175",
        ),
        (
            Prf::HmacSha1,
            "4eb8f07e2ddb712f9958d4bf04b4262cef3d9702afa9a928e117ea4de04d7156e5a752046367f5ff94c3ae4344b60eab41102b06",
            "9e8851a43bf9dd7e933fe0bb8397807e964db6b3595cf0cf8c3af6717c8a4d03",
        ),
        (
            Prf::HmacSha256,
            "ec8426bc458d6362e72abc02370a9c5af392e9464b0bd2de9fc74f4ab85b1f4da1ba524831081e2ca3138a24200ab05935896180",
            "a4c9aa41d95f48283de3f1ec942b4c67d65204592eb58c18aa27553c488645cf",
        ),
        (
            Prf::HmacSha384,
            "45bfd64b975cb9e2d0dcad0afa31752aef841381a2b65663cfcf84179c89b06cf583b22d79bb420bb1646cb5e15c5ebbce0091ab",
            "7f55d69fdda63fe6f17d27f56cfad9e649968ff44c5842a472a118cfa98262c8",
        ),
        (
            Prf::HmacSha512,
            "96a226f43012a5884fac7b728790824c6c61ae1178519e9f2c2fcbbf73e0ba89160b9bd671b910b0062ef4f9966561e03e6276ed",
            "f9477701f3fc3e70f9fe85efcd8a397022c944762ec9c73da83d993c4fdd29e4",
        ),
    ] {
        let all = 255 * prf::output_len(prf).unwrap();
        let (head, tail) = seed.split_at(7);
        let made = prf::plus(prf, &key, &[head, tail], all).unwrap();
        assert_eq!(HEXLOWER.encode(&made.as_slice()[..52]), start, "{prf:?}");
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, made.as_slice());
        assert_eq!(HEXLOWER.encode(digest.as_ref()), digest_of_all, "{prf:?}");
        for len in [0, 1, 15, 16, 17, 64, 65, 300] {
            assert_eq!(prf::plus(prf, &key, &[&seed], len).unwrap().as_slice(), &made.as_slice()[..len]);
        }
        assert!(prf::plus(prf, &key, &[&seed], all + 1).is_err());
    }
}

/// T1 = prf(K, S | 1), T2 = prf(K, T1 | S | 2): spelt out, also for the functions Python lacks.
#[test]
fn prf_plus_chains_its_blocks() {
    for prf in Prf::NAMED {
        let (key, seed) = (counting(20), b"seed");
        let t1 = prf::compute(*prf, &key, &[seed, &[1]]).unwrap();
        let t2 = prf::compute(*prf, &key, &[t1.as_slice(), seed, &[2]]).unwrap();
        let t3 = prf::compute(*prf, &key, &[t2.as_slice(), seed, &[3]]).unwrap();
        let want = [t1.as_slice(), t2.as_slice(), t3.as_slice()].concat();
        assert_eq!(prf::plus(*prf, &key, &[seed], want.len()).unwrap().as_slice(), want, "{prf:?}");
        assert_eq!(prf::key_len(*prf), prf::output_len(*prf));
        assert_eq!(t1.len(), prf::output_len(*prf).unwrap());
    }
    assert!(prf::compute(Prf::Unknown(99), b"", &[]).is_err());
    assert!(prf::plus(Prf::Unknown(99), b"", &[], 1).is_err());
}

#[test]
fn sha1_of_the_parts() {
    assert_eq!(HEXLOWER.encode(&prf::sha1(&[b"a", b"", b"bc"])), "a9993e364706816aba3e25717850c26c9cd0d89d");
    assert_eq!(HEXLOWER.encode(&prf::sha1(&[])), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
}
