//! The key schedule (RFC 7296 2.13 to 2.18, RFC 9370 2.2.2) and the octets AUTH covers (2.15, RFC 9242).
use crate::fault::Fault;
use crypto::{Secret, prf, table};
use policy::proposal::Chosen;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use wire::iana::{Encr, Integ, Prf};

/// Keys of an IKE_SA and what they are for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Keys {
    /// The algorithms.
    pub(crate) suite: Arc<Chosen>,
    /// SK_d | SK_ai | SK_ar | SK_ei | SK_er | SK_pi | SK_pr, in one piece: there are very many of these.
    all: Secret,
    /// Bytes of SK_d, SK_pi and SK_pr each; of SK_ai and SK_ar; of SK_ei and SK_er.
    lengths: (u8, u8, u8),
    /// Next IV for ciphers that count; never used twice under one key.
    pub(crate) next_iv: u64,
}

/// What both sides contributed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Nonces {
    /// Initiator's nonce.
    pub(crate) ni: Vec<u8>,
    /// Responder's nonce.
    pub(crate) nr: Vec<u8>,
}

/// The PRF of an IKE suite.
pub(crate) fn prf_of(suite: &Chosen) -> Result<Prf, Fault> {
    suite.prf.ok_or_else(|| Fault::Local("IKE proposal without PRF".to_owned()))
}

impl Keys {
    /// So many bytes behind so many.
    fn piece(&self, before: usize, len: u8) -> &[u8] {
        let rest = self.all.as_slice().get(before..).unwrap_or_default();
        rest.get(..usize::from(len)).unwrap_or_default()
    }

    fn sk_d(&self) -> &[u8] {
        self.piece(0, self.lengths.0)
    }

    /// SK_ai or SK_ar.
    pub(crate) fn sk_a(&self, initiators: bool) -> &[u8] {
        let (d, a, _) = self.lengths;
        let before = if initiators { 0 } else { usize::from(a) };
        self.piece(usize::from(d).saturating_add(before), a)
    }

    /// SK_ei or SK_er.
    pub(crate) fn sk_e(&self, initiators: bool) -> &[u8] {
        let (d, a, e) = self.lengths;
        let before = usize::from(d).saturating_add(usize::from(a).saturating_mul(2));
        self.piece(before.saturating_add(if initiators { 0 } else { usize::from(e) }), e)
    }

    /// SK_pi or SK_pr; nothing once the IKE_SA is established.
    pub(crate) fn sk_p(&self, initiators: bool) -> &[u8] {
        let (d, a, e) = self.lengths;
        let before =
            usize::from(d).saturating_add((usize::from(a).saturating_add(usize::from(e))).saturating_mul(2));
        self.piece(before.saturating_add(if initiators { 0 } else { usize::from(d) }), d)
    }

    /// Both have proved who they are: SK_pi and SK_pr have no more use.
    pub(crate) fn proven(mut self) -> Self {
        let (d, a, e) = self.lengths;
        let pairs = usize::from(a).saturating_add(usize::from(e)).saturating_mul(2);
        let left = self.all.as_slice().get(..usize::from(d).saturating_add(pairs));
        self.all = left.map(Secret::from).unwrap_or_default();
        self
    }

    /// Keys of a new IKE_SA: SKEYSEED = prf(Ni | Nr, g^ir).
    pub(crate) fn first(
        suite: &Arc<Chosen>,
        shared: &Secret,
        n: &Nonces,
        spis: (u64, u64),
    ) -> Result<Self, Fault> {
        let p = prf_of(suite)?;
        // RFC 7296 2.14: "If the negotiated PRF is AES-XCBC-PRF-128 or AES-CMAC-PRF-128, only the first 64 bits
        // of Ni and the first 64 bits of Nr are used in calculating SKEYSEED".
        let short = matches!(p, Prf::Aes128Xcbc | Prf::Aes128Cmac);
        let cut =
            |v: &[u8]| -> Vec<u8> { if short { v.iter().take(8).copied().collect() } else { v.to_vec() } };
        let key = [cut(&n.ni), cut(&n.nr)].concat();
        let seed = prf::compute(p, &key, &[shared.as_slice()])?;
        Self::expand(suite, &seed, n, spis)
    }

    /// Keys after an additional key exchange in IKE_INTERMEDIATE (RFC 9370 2.2.2):
    /// SKEYSEED(n) = prf(SK_d(n-1), SK(n) | Ni | Nr).
    pub(crate) fn stepped(&self, shared: &Secret, n: &Nonces, spis: (u64, u64)) -> Result<Self, Fault> {
        let p = prf_of(&self.suite)?;
        let seed = prf::compute(p, self.sk_d(), &[shared.as_slice(), &n.ni, &n.nr])?;
        Self::expand(&self.suite, &seed, n, spis)
    }

    /// Keys of the successor (RFC 7296 2.18, RFC 9370 2.2.4):
    /// SKEYSEED = prf(SK_d (old), SK(0) | Ni | Nr | SK(1) … SK(n)).
    pub(crate) fn rekeyed(
        &self,
        suite: &Arc<Chosen>,
        shared: &[Secret],
        n: &Nonces,
        spis: (u64, u64),
    ) -> Result<Self, Fault> {
        let (first, more) =
            shared.split_first().ok_or(Fault::Broken("IKE_SA rekeying without key exchange"))?;
        let mut parts: Vec<&[u8]> = vec![first.as_slice(), &n.ni, &n.nr];
        parts.extend(more.iter().map(Secret::as_slice));
        let seed = prf::compute(prf_of(&self.suite)?, self.sk_d(), &parts)?;
        Self::expand(suite, &seed, n, spis)
    }

    /// With a post-quantum pre-shared key (RFC 8784 3): SK_d, SK_pi and SK_pr become prf+(PPK, SK_x); what protects
    /// messages stays.
    pub(crate) fn with_ppk(&self, ppk: &Secret) -> Result<Self, Fault> {
        let p = prf_of(&self.suite)?;
        let mix = |key: &[u8]| prf::plus(p, ppk.as_slice(), &[key], key.len());
        let mut all = self.all.clone();
        let (d, pi, pr) = (mix(self.sk_d())?, mix(self.sk_p(true))?, mix(self.sk_p(false))?);
        let bytes = all.as_mut_slice();
        let tail = bytes.len().saturating_sub(pi.len().saturating_add(pr.len()));
        let places = [(0, d), (tail, pi), (tail.saturating_add(usize::from(self.lengths.0)), pr)];
        for (at, key) in places {
            let place = bytes.get_mut(at..).into_iter().flatten();
            place.zip(key.as_slice()).for_each(|(to, from)| *to = *from);
        }
        Ok(Self { suite: Arc::clone(&self.suite), all, lengths: self.lengths, next_iv: self.next_iv })
    }

    /// {SK_d | SK_ai | SK_ar | SK_ei | SK_er | SK_pi | SK_pr} = prf+(SKEYSEED, Ni | Nr | SPIi | SPIr).
    fn expand(suite: &Arc<Chosen>, seed: &Secret, n: &Nonces, spis: (u64, u64)) -> Result<Self, Fault> {
        let p = prf_of(suite)?;
        let d = prf::key_len(p)?;
        let a = integ_len(suite.integ)?;
        let e = table::key_len(suite.encr.0, suite.encr.1)?;
        let len = d.saturating_mul(3).saturating_add(a.saturating_mul(2)).saturating_add(e.saturating_mul(2));
        let all = prf::plus(
            p,
            seed.as_slice(),
            &[&n.ni, &n.nr, &spis.0.to_be_bytes(), &spis.1.to_be_bytes()],
            len,
        )?;
        let byte = |n: usize| u8::try_from(n).map_err(|_| Fault::Local("keys are too long".to_owned()));
        Ok(Self { suite: Arc::clone(suite), all, lengths: (byte(d)?, byte(a)?, byte(e)?), next_iv: 0 })
    }

    /// KEYMAT of a CHILD_SA (RFC 7296 2.17): prf+(SK_d, [SK(0)] | Ni | Nr | [SK(1) …]), cut into
    /// (initiator to responder, responder to initiator).
    pub(crate) fn child(
        &self,
        esp: &Chosen,
        shared: &[Secret],
        n: &Nonces,
    ) -> Result<(policy::SaKeys, policy::SaKeys), Fault> {
        let e = if esp.encr.0 == Encr::Null { 0 } else { table::key_len(esp.encr.0, esp.encr.1)? };
        let a = integ_len(esp.integ)?;
        let mut parts: Vec<&[u8]> = Vec::new();
        let mut more = shared.iter();
        if let Some(first) = more.next() {
            parts.push(first.as_slice());
        }
        parts.push(&n.ni);
        parts.push(&n.nr);
        parts.extend(more.map(Secret::as_slice));
        let all =
            prf::plus(prf_of(&self.suite)?, self.sk_d(), &parts, e.saturating_add(a).saturating_mul(2))?;
        let (ei, rest) = all.split_at(e);
        let (ai, rest) = rest.split_at(a);
        let (er, ar) = rest.split_at(e);
        Ok((policy::SaKeys { encr: ei, integ: ai }, policy::SaKeys { encr: er, integ: ar }))
    }

    /// The AUTH value of a shared secret (RFC 7296 2.15) over one side's octets.
    pub(crate) fn psk_auth(&self, secret: &Secret, octets: &[&[u8]]) -> Result<Secret, Fault> {
        self.padded_auth(&self.padded(secret)?, octets)
    }

    /// prf(secret, "Key Pad for IKEv2"): what both ends' AUTH values are made with.
    pub(crate) fn padded(&self, secret: &Secret) -> Result<Secret, Fault> {
        Ok(prf::compute(prf_of(&self.suite)?, secret.as_slice(), &[b"Key Pad for IKEv2"])?)
    }

    /// The AUTH value of a shared secret that is [`Self::padded`].
    pub(crate) fn padded_auth(&self, padded: &Secret, octets: &[&[u8]]) -> Result<Secret, Fault> {
        Ok(prf::compute(prf_of(&self.suite)?, padded.as_slice(), octets)?)
    }

    /// prf(SK_px, RestOfIDPayload): `initiator` chooses the side.
    pub(crate) fn maced_id(&self, initiator: bool, rest_of_id: &[u8]) -> Result<Secret, Fault> {
        Ok(prf::compute(prf_of(&self.suite)?, self.sk_p(initiator), &[rest_of_id])?)
    }

    /// IntAuth_x(N) = prf(SK_px, IntAuth_x(N-1) | A | P) (RFC 9242 3.3.2) with the keys that protected the message.
    pub(crate) fn int_auth(
        &self,
        initiator: bool,
        before: &[u8],
        a: &[u8],
        p: &[u8],
    ) -> Result<Vec<u8>, Fault> {
        let mac = prf::compute(prf_of(&self.suite)?, self.sk_p(initiator), &[before, a, p])?;
        Ok(mac.as_slice().to_vec())
    }
}

fn integ_len(integ: Integ) -> Result<usize, Fault> {
    if integ == Integ::None { Ok(0) } else { Ok(table::integ_key_len(integ)?) }
}
