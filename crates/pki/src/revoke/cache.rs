//! CRLs and OCSP answers that were verified, until they expire; bounded in number and size.
use crate::cert::Certificate;
use crate::crl::Crl;
use crate::ocsp::Answer;
use std::collections::BTreeMap;
use std::sync::Arc;

/// CRLs kept.
const MAX_CRLS: usize = 256;
/// Bytes of CRLs kept.
const MAX_CRL_BYTES: usize = 128 << 20;
/// OCSP answers kept.
const MAX_ANSWERS: usize = 4096;

/// What was fetched and verified. Shared by all judgements; a step of one takes it for itself.
#[derive(Debug, Default)]
pub struct Cache {
    crls: Vec<Arc<Crl>>,
    answers: BTreeMap<(Vec<u8>, Vec<u8>), Kept>,
}

#[derive(Debug)]
struct Kept {
    answer: Answer,
    response: Vec<u8>,
}

fn key(issuer: &Certificate, certificate: &Certificate) -> (Vec<u8>, Vec<u8>) {
    (issuer.spki_id(), certificate.serial().to_vec())
}

impl Cache {
    /// CRLs.
    pub fn crls(&self) -> impl Iterator<Item = &Arc<Crl>> {
        self.crls.iter()
    }

    /// DER of the OCSP responses.
    pub fn responses(&self) -> impl Iterator<Item = &[u8]> {
        self.answers.values().map(|kept| kept.response.as_slice())
    }

    /// Forgets all CRLs.
    pub fn clear_crls(&mut self) {
        self.crls.clear();
    }

    /// Forgets all OCSP responses.
    pub fn clear_responses(&mut self) {
        self.answers.clear();
    }

    pub(crate) fn answer(&self, issuer: &Certificate, certificate: &Certificate) -> Option<Answer> {
        self.answers.get(&key(issuer, certificate)).map(|kept| kept.answer)
    }

    /// A response about a certificate that is still in force, to hand on (RFC 4806).
    #[must_use]
    pub fn response(&self, issuer: &Certificate, certificate: &Certificate, now: u64) -> Option<&[u8]> {
        let kept = self.answers.get(&key(issuer, certificate))?;
        kept.answer.fresh_at(now).then_some(kept.response.as_slice())
    }

    pub(crate) fn put_answer(
        &mut self,
        issuer: &Certificate,
        certificate: &Certificate,
        answer: Answer,
        response: &[u8],
        now: u64,
    ) {
        if self.answers.len() >= MAX_ANSWERS {
            self.answers.retain(|_, kept| kept.answer.fresh_at(now));
        }
        while self.answers.len() >= MAX_ANSWERS {
            let oldest =
                self.answers.iter().min_by_key(|(_, kept)| kept.answer.until).map(|(key, _)| key.clone());
            match oldest {
                Some(key) => drop(self.answers.remove(&key)),
                None => break,
            }
        }
        let entry = self.answers.entry(key(issuer, certificate));
        let kept = Kept { answer, response: response.to_vec() };
        match entry {
            // An older answer must not bring a revoked certificate back.
            std::collections::btree_map::Entry::Occupied(mut known) => {
                if known.get().answer.since <= answer.since || !known.get().answer.fresh_at(now) {
                    known.insert(kept);
                }
            }
            std::collections::btree_map::Entry::Vacant(free) => drop(free.insert(kept)),
        }
    }

    /// Keeps a CRL that was verified; one with the same issuer, key, kind and number of entries' scope gives way to a newer
    /// one.
    pub(crate) fn put_crl(&mut self, crl: Arc<Crl>, now: u64) {
        if self.crls.iter().any(|known| known.der() == crl.der()) {
            return;
        }
        self.crls.retain(|known| !(known.same_series(&crl) && crl.newer_than(known)));
        self.crls.push(crl);
        if self.is_full() {
            self.crls.retain(|crl| crl.fresh_at(now));
        }
        while self.is_full() && !self.crls.is_empty() {
            self.crls.remove(0);
        }
    }

    fn is_full(&self) -> bool {
        let bytes: usize = self.crls.iter().map(|crl| crl.der().len()).fold(0, usize::saturating_add);
        self.crls.len() > MAX_CRLS || bytes > MAX_CRL_BYTES
    }
}
