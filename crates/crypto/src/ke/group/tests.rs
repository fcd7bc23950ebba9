//! The numbers are what the RFCs say they are.

use crypto_bigint::modular::{FixedMontyForm, FixedMontyParams};

use super::*;

fn power<const L: usize>(group: &Modp<L>, base: &Uint<L>, exponent: &Uint<L>) -> Uint<L> {
    FixedMontyForm::new(base, &FixedMontyParams::new_vartime(group.prime)).pow_vartime(exponent).retrieve()
}

/// RFC 3526: p = 2^n - 2^(n-64) - 1 + 2^64 * (floor(2^(n-130) * pi) + c), p is prime, and 2 generates the subgroup of
/// order (p - 1) / 2. All these primes share the bits of pi, so each begins like the longest.
fn safe_prime<const L: usize>(group: &Modp<L>, prime: &str) {
    let p = *group.prime.as_ref();
    assert_eq!(p.bit_width(), Uint::<L>::BITS);
    assert!(prime.starts_with("FFFFFFFFFFFFFFFF") && prime.ends_with("FFFFFFFFFFFFFFFF"));
    // The 64 bits of ones and the constant c at the end of pi's bits are below the last 96 bits.
    let shared = prime.len() - 16 - 8;
    assert_eq!(prime.as_bytes()[..shared], P8192.as_bytes()[..shared]);
    let q = p.shr(1);
    // A quadratic residue (p = 7 mod 8), hence of order q if p and q are prime; Fermat for p, with another base.
    assert_eq!(power(group, &group.generator, &q), Uint::ONE);
    assert_eq!(power(group, &Uint::from_u8(3), &p.wrapping_sub(&Uint::ONE)), Uint::ONE);
    assert_eq!(p.as_words()[0] % 8, 7);
    assert!(group.exponent_bits.is_multiple_of(8) && group.exponent_bits <= 640);
}

#[test]
fn rfc_2409_and_3526() {
    safe_prime(&MODP768, P768);
    safe_prime(&MODP1024, P1024);
    safe_prime(&MODP1536, P1536);
    safe_prime(&MODP2048, P2048);
    safe_prime(&MODP3072, P3072);
    safe_prime(&MODP4096, P4096);
    safe_prime(&MODP6144, P6144);
    safe_prime(&MODP8192, P8192);
}

/// RFC 5114: q divides p - 1, and the generator has order q.
fn subgroup_of<const L: usize>(group: &Modp<L>) {
    let p = *group.prime.as_ref();
    let q = group.order.unwrap();
    assert_eq!(p.bit_width(), Uint::<L>::BITS);
    assert_eq!(q.bit_width(), group.exponent_bits);
    assert_eq!(p.wrapping_sub(&Uint::ONE).rem_vartime(&q.to_nz().unwrap()), Uint::ZERO);
    assert!(group.generator > Uint::ONE);
    assert_eq!(power(group, &group.generator, &q), Uint::ONE);
    assert_eq!(power(group, &Uint::from_u8(3), &p.wrapping_sub(&Uint::ONE)), Uint::ONE);
}

#[test]
fn rfc_5114() {
    subgroup_of(&MODP1024S160);
    subgroup_of(&MODP2048S224);
    subgroup_of(&MODP2048S256);
}
