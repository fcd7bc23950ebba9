//! Which shared secret belongs to a pair of identities.
use policy::secrets::SecretKind;
use policy::{Identity, SharedSecret, Snapshot};
use std::cell::OnceCell;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

/// Secrets by their owners, looked up where there are many. Made when it is first needed after a change: secrets are
/// loaded one by one.
#[derive(Debug, Default)]
pub(crate) struct Book(OnceCell<Filed>);

#[derive(Debug, Default)]
struct Filed {
    /// Places of secrets that certain identities own, by the identity.
    owned: HashMap<u64, Vec<usize>>,
    /// Of those that more may use.
    wide: Vec<usize>,
    /// How many secrets were looked at.
    #[cfg(test)]
    looked_at: std::cell::Cell<usize>,
}

impl Book {
    fn filed(&self, secrets: &[Arc<SharedSecret>]) -> &Filed {
        self.0.get_or_init(|| {
            let mut filed = Filed::default();
            for (place, secret) in secrets.iter().enumerate() {
                let keys: Option<Vec<u64>> = secret.owners.iter().map(key).collect();
                match keys.filter(|keys| !keys.is_empty()) {
                    Some(keys) => {
                        for key in keys {
                            filed.owned.entry(key).or_default().push(place);
                        }
                    }
                    None => filed.wide.push(place),
                }
            }
            filed
        })
    }
}

/// Equal for identities that are the same, as [`Identity::matches`] compares them; none for what may match others.
fn key(identity: &Identity) -> Option<u64> {
    let mut hash = DefaultHasher::new();
    std::mem::discriminant(identity).hash(&mut hash);
    match identity {
        Identity::Fqdn(name) | Identity::Rfc822(name) if !identity.is_pattern() => {
            // Names are short: they are hashed a word at a time.
            for piece in name.as_bytes().chunks(32) {
                let mut lower = [0; 32];
                lower.iter_mut().zip(piece).for_each(|(to, from)| *to = from.to_ascii_lowercase());
                hash.write(&lower);
            }
            hash.write_usize(name.len());
        }
        Identity::Ip(_) | Identity::KeyId(_) | Identity::Other(..) => identity.hash(&mut hash),
        _ => return None,
    }
    Some(hash.finish())
}

/// Candidates for `me` and `other`, best first: those owned by both, then by the peer, then by us, then
/// secrets without owner.
pub(crate) fn shared(
    (snapshot, book): (&Snapshot, &Book),
    kind: SecretKind,
    me: &Identity,
    other: &Identity,
) -> Vec<Arc<SharedSecret>> {
    let filed = book.filed(&snapshot.secrets);
    let owned = [me, other].into_iter().filter_map(|id| filed.owned.get(&key(id)?));
    let mut places: Vec<usize> = filed.wide.iter().chain(owned.flatten()).copied().collect();
    places.sort_unstable();
    places.dedup();
    #[cfg(test)]
    filed.looked_at.set(filed.looked_at.get() + places.len());
    let fitting = places.iter().filter_map(|at| snapshot.secrets.get(*at)).filter(|s| s.kind == kind);
    let mut found: Vec<_> = fitting.filter_map(|s| Some((s.rank(Some(me), Some(other))?, s))).collect();
    // Stable: among equals the first loaded wins.
    found.sort_by_key(|(rank, _)| std::cmp::Reverse(*rank));
    found.into_iter().map(|(_, s)| Arc::clone(s)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crypto::Secret;

    fn id(s: &str) -> Identity {
        Identity::Fqdn(s.to_owned())
    }

    fn secret(name: &str, owners: &[Identity]) -> Arc<SharedSecret> {
        Arc::new(SharedSecret {
            id: name.to_owned(),
            kind: SecretKind::Ike,
            data: Secret::from(name.as_bytes()),
            owners: owners.to_vec(),
        })
    }

    #[test]
    fn the_closest_owner_wins() {
        let s = Snapshot {
            secrets: vec![
                secret("anybody", &[]),
                secret("moon", &[id("moon")]),
                secret("carol", &[id("carol")]),
                secret("both", &[id("moon"), id("carol")]),
                secret("dave", &[id("dave")]),
            ],
            ..Snapshot::default()
        };
        let book = Book::default();
        let names = |me: &Identity, other: &Identity| -> Vec<String> {
            shared((&s, &book), SecretKind::Ike, me, other).iter().map(|s| s.id.clone()).collect()
        };
        assert_eq!(names(&id("moon"), &id("carol")), ["both", "carol", "moon", "anybody"]);
        assert_eq!(names(&id("MOON"), &id("Carol")), ["both", "carol", "moon", "anybody"]);
        assert_eq!(names(&id("moon"), &Identity::Any), ["moon", "both", "anybody"]);
        assert!(shared((&s, &book), SecretKind::Ppk, &id("moon"), &id("carol")).is_empty());
    }

    /// Whatever owns a secret, it is found as if all were looked at.
    #[test]
    fn nothing_is_missed_and_nobody_is_looked_at_in_vain() {
        let texts = [
            "carol",
            "*.test",
            "dave.test",
            "carol@test",
            "*@test",
            "10.0.0.1",
            "10.0.0.0/8",
            "%any",
            "#0102",
            "C=CH, CN=x",
            "C=CH, CN=*",
            "fqdn:^d.*$",
        ];
        let ids: Vec<Identity> = texts.iter().map(|text| Identity::parse(text).unwrap()).collect();
        let mut secrets: Vec<_> =
            ids.iter().map(|owner| secret("one", std::slice::from_ref(owner))).collect();
        secrets
            .extend(ids.iter().zip(ids.iter().skip(1)).map(|(a, b)| secret("two", &[a.clone(), b.clone()])));
        let few = Snapshot { secrets, ..Snapshot::default() };
        let book = Book::default();
        for me in &ids {
            for other in &ids {
                let found = shared((&few, &book), SecretKind::Ike, me, other).len();
                let all = few.secrets.iter().filter(|s| s.rank(Some(me), Some(other)).is_some()).count();
                assert_eq!(found, all, "{me} {other}");
            }
        }
        let own = |n: usize| secret("", &[id(&format!("client{n}"))]);
        let many = Snapshot { secrets: (0..10_000).map(own).collect(), ..Snapshot::default() };
        let book = Book::default();
        assert_eq!(shared((&many, &book), SecretKind::Ike, &id("gw"), &id("CLIENT77")).len(), 1);
        assert_eq!(book.filed(&many.secrets).looked_at.get(), 1);
    }
}
