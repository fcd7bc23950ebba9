//! Which shared secret belongs to a pair of identities.
use policy::secrets::SecretKind;
use policy::{Identity, SharedSecret, Snapshot};
use std::sync::Arc;

/// Candidates for `me` and `other`, best first: those owned by both, then by the peer, then by us, then
/// secrets without owner.
pub(crate) fn shared(
    snapshot: &Snapshot,
    kind: SecretKind,
    me: &Identity,
    other: &Identity,
) -> Vec<Arc<SharedSecret>> {
    let fitting = snapshot.secrets.iter().filter(|s| s.kind == kind);
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
        let names: Vec<String> =
            shared(&s, SecretKind::Ike, &id("moon"), &id("carol")).iter().map(|s| s.id.clone()).collect();
        assert_eq!(names, ["both", "carol", "moon", "anybody"]);
        assert!(shared(&s, SecretKind::Ppk, &id("moon"), &id("carol")).is_empty());
    }
}
