use super::*;
use crate::sa::{Established, Phase, Standing};
use crate::v2::keys::{Keys, Nonces};
use crate::when::When;
use policy::{Connection, Identity};
use std::net::SocketAddr;

const ALL: u32 = 3_000;

fn address(n: u32) -> SocketAddr {
    SocketAddr::new(IpAddr::from((0x0a00_0000 + n).to_be_bytes()), 500)
}

fn identity(n: u32) -> Arc<Identity> {
    Arc::new(Identity::Fqdn(format!("client{n}")))
}

fn established() -> Established {
    let suite = policy::proposal::Chosen {
        protocol: wire::iana::ProtocolId::Ike,
        number: 1,
        encr: (wire::iana::Encr::AesGcm16, 128),
        integ: wire::iana::Integ::None,
        prf: Some(wire::iana::Prf::HmacSha256),
        ke: wire::iana::Ke::X25519,
        add_ke: Vec::new(),
        esn: wire::iana::Esn::No,
    };
    let nonces = Nonces { ni: vec![1; 32], nr: vec![2; 32] };
    Established {
        keys: Keys::first(&Arc::new(suite), &crypto::Secret::from(&[3; 32]), &nonces, (1, 2)).unwrap(),
        // Nothing but an authentication makes one; here nobody was authenticated.
        proof: postcard::from_bytes(&[]).unwrap(),
        standing: Standing::Up,
        since: 0,
        rekey_at: When::NEVER,
        reauth_at: When::NEVER,
        expire_at: When::NEVER,
        active: None,
        passive: None,
        successor: None,
        close_at: When::NEVER,
        followup: None,
    }
}

/// SAs of ten connections; every third one is up, and each of these has the identity of another one.
fn table() -> Table {
    let connections: Vec<_> = (0..10).map(|n| Arc::new(Connection::named(&format!("c{n}")))).collect();
    let mut table = Table::default();
    for n in 1..=ALL {
        let conn = Arc::clone(&connections[usize::try_from(n % 10).unwrap()]);
        let mut sa = IkeSa::new(n, conn, true, address(0), address(n / 2), 0);
        sa.spi_i = u64::from(n);
        sa.local_id = Some(identity(0));
        sa.remote_id = Some(identity(n / 6));
        if n % 3 == 0 {
            sa.phase = Phase::Established(Box::new(established()));
        }
        if n % 1000 == 0 {
            sa.replaces = Some(7);
        }
        table.put(Box::new(sa), Some(u64::from(ALL - n)));
    }
    table
}

/// The numbers that a walk gives, if it has looked at nothing but them.
fn found<'a>(table: &'a Table, walk: impl Iterator<Item = &'a IkeSa>) -> Vec<u32> {
    table.looked_at.set(0);
    let ids: Vec<u32> = walk.map(|sa| sa.id).collect();
    assert_eq!(table.looked_at.get(), ids.len(), "it looked at others, too");
    ids
}

#[test]
fn nobody_is_looked_at_in_vain() {
    let table = table();
    let name = |n: u32| found(&table, table.named(&format!("c{n}")));
    assert_eq!(name(3), (3..=ALL).step_by(10).collect::<Vec<_>>());
    assert_eq!(name(10), [0; 0]);
    assert_eq!(found(&table, table.at(address(40).ip())), [80, 81]);
    assert_eq!(found(&table, table.at(address(ALL).ip())), [0; 0]);
    assert_eq!(found(&table, table.of_ours_at(&identity(0), address(40).ip())), [81]);
    assert_eq!(found(&table, table.of_ours_at(&identity(1), address(40).ip())), [0; 0]);
    assert_eq!(found(&table, table.between(&identity(0), &identity(5))), [30, 33]);
    assert_eq!(found(&table, table.between(&identity(1), &identity(5))), [0; 0]);
    assert_eq!(found(&table, table.range(Some(2_995))), [2_996, 2_997, 2_998, 2_999, 3_000]);
    assert_eq!(table.successors(7), [1000, 2000, 3000]);
    assert_eq!((table.of_spi(77), table.of_spi(3_001)), (Some(77), None));
    assert_eq!(table.first_deadline(), Some((0, ALL)));
}

/// Who is changed is found by what it is now, and by nothing that it was.
#[test]
fn what_changes_is_filed_anew() {
    let mut table = table();
    let mut sa = table.take(30).unwrap();
    assert!(table.get(30).is_none() && table.contains(30) && table.take(30).is_none());
    sa.spi_i = 1 << 40;
    sa.remote = "[2001:db8::1]:4500".parse().unwrap();
    sa.replaces = Some(8);
    sa.conn = Arc::new(Connection::named("other"));
    table.put(sa, None);
    assert_eq!((table.of_spi(30), table.of_spi(1 << 40)), (None, Some(30)));
    assert_eq!(found(&table, table.at(address(15).ip())), [31]);
    assert_eq!(found(&table, table.at("2001:db8::1".parse().unwrap())), [30]);
    assert_eq!(found(&table, table.of_ours_at(&identity(0), "2001:db8::1".parse().unwrap())), [30]);
    assert_eq!(found(&table, table.of_ours_at(&identity(0), address(15).ip())), [0; 0]);
    assert_eq!(found(&table, table.named("other")), [30]);
    assert!(!found(&table, table.named("c0")).contains(&30));
    assert_eq!(table.successors(8), [30]);
    assert_eq!(found(&table, table.between(&identity(0), &identity(5))), [30, 33]);
    // It is no longer in service, then gone.
    let mut sa = table.take(30).unwrap();
    sa.phase = Phase::Gone;
    table.put(sa, None);
    assert_eq!(found(&table, table.between(&identity(0), &identity(5))), [33]);
    assert_eq!(table.of_spi(1 << 40), None);
    assert_eq!(found(&table, table.of_ours_at(&identity(0), "2001:db8::1".parse().unwrap())), [0; 0]);
    let mut sa = table.take(30).unwrap();
    table.forget(&mut sa);
    assert!(!table.contains(30) && table.named("other").next().is_none() && table.successors(8).is_empty());
}

#[test]
fn nothing_is_left_of_who_is_gone() {
    let mut table = table();
    for id in table.ids() {
        let mut sa = table.take(id).unwrap();
        table.forget(&mut sa);
    }
    assert_eq!(
        format!("{table:?}"),
        format!("{:?}", Table { looked_at: table.looked_at.clone(), ..Table::default() })
    );
}
