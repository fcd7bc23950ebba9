//! Sealing and opening packets of 1,400 bytes: the throughput column is that of one lane.
#![allow(clippy::unwrap_used, missing_docs, reason = "a bench")]

use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use crypto::table::{self, Keyword, parse_keyword};
use crypto::{EspCipher, table::encr_is_aead};
use wire::iana::Integ;

const LEN: usize = 1400;

fn cipher(words: &str) -> EspCipher {
    let mut words = words.split('-').map(|word| parse_keyword(word).unwrap());
    let Some(Keyword::Encr(encr, bits)) = words.next() else { return cipher("null-sha256") };
    let integ = match words.next() {
        Some(Keyword::Integ(integ)) => integ,
        _ => Integ::None,
    };
    assert_eq!(encr_is_aead(encr), integ == Integ::None);
    let key = vec![1; table::key_len(encr, bits).unwrap()];
    EspCipher::new(encr, bits, integ, &key, &vec![2; table::integ_key_len(integ).unwrap()]).unwrap()
}

fn esp(c: &mut Criterion) {
    let mut group = c.benchmark_group("esp");
    group.throughput(Throughput::BytesDecimal(LEN as u64));
    for words in [
        "aes128gcm16",
        "aes256gcm16",
        "chacha20poly1305",
        "aes128gcm8",
        "aes128ccm16",
        "aes256gmac",
        "aes128-sha1",
        "aes256-sha256",
        "aes256-sha512",
        "aes128ctr-aescmac",
        "null-sha256",
        "3des-md5",
    ] {
        let cipher = cipher(words);
        let plain = LEN.next_multiple_of(cipher.align());
        let mut packet = vec![0; 8 + cipher.iv_len() + plain + cipher.icv_len()];
        let mut number = 0;
        group.bench_function(format!("{words}/seal"), |b| {
            b.iter(|| {
                number += 1;
                cipher.seal(None, &mut packet, number).unwrap();
            });
        });
        group.bench_function(format!("{words}/open"), |b| {
            b.iter_batched_ref(
                || packet.clone(),
                |packet| cipher.open(None, packet).unwrap(),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10)
        .warm_up_time(Duration::from_millis(100)).measurement_time(Duration::from_millis(500));
    targets = esp
}
criterion_main!(benches);
