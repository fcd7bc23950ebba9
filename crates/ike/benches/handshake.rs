//! IKE_SA_INIT and IKE_AUTH with a pre-shared key and one CHILD_SA: whole handshakes with both roles, and the
//! responder's share alone.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "a benchmark"
)]

use criterion::{Criterion, criterion_group, criterion_main};
use ike::io::CommandId;
use ike::{Answer, Ask, Command, Datagram, Engine, Now, Output, Shard};
use policy::{Auth, AuthClass, Child, Connection, Identity, PeerAddr, Settings, SharedSecret, Snapshot};
use std::sync::Arc;
use std::time::{Duration, Instant};
use wire::iana::ProtocolId;

const NOW: Now = Now { mono: 1_000_000, wall: 1_700_000_000 };

fn snapshot(name: &str, ends: (&str, &str), ids: (&str, &str), proposals: &str) -> Arc<Snapshot> {
    let mut c = Connection::named(name);
    c.local_addrs = vec![PeerAddr::parse(ends.0).unwrap()];
    c.remote_addrs = vec![PeerAddr::parse(ends.1).unwrap()];
    c.proposals = policy::proposal::parse_proposals(ProtocolId::Ike, proposals).unwrap();
    let auth = |name: &str, id: &str| {
        let mut a = Auth::named(name, AuthClass::Psk);
        a.id = Some(Identity::parse(id).unwrap());
        a
    };
    c.local = vec![auth("local", ids.0)];
    c.remote = vec![auth("remote", ids.1)];
    let mut child = Child::named("net");
    child.proposals = policy::proposal::parse_proposals(ProtocolId::Esp, "aes128gcm16").unwrap();
    c.children = vec![Arc::new(child)];
    let secret = SharedSecret {
        id: String::new(),
        kind: policy::secrets::SecretKind::Ike,
        data: crypto::Secret::from(&b"a long shared secret"[..]),
        owners: Vec::new(),
    };
    // Every handshake comes from the same address; nothing shall be taken for a flood.
    let settings = Settings { dos_protection: false, ..Settings::default() };
    Arc::new(Snapshot {
        authorities: Vec::new(),
        ocsp_signers: Vec::new(),
        connections: vec![Arc::new(c)],
        secrets: vec![Arc::new(secret)],
        settings: Arc::new(settings),
    })
}

fn answer(a: &Ask) -> Answer {
    match a {
        Ask::RemoveChild { .. } => {
            Answer::Removed { usage_in: Default::default(), usage_out: Default::default() }
        }
        _ => Answer::Done,
    }
}

fn drain(e: &mut Engine) -> Vec<Datagram> {
    let mut sent = Vec::new();
    loop {
        let mut asks = Vec::new();
        while let Some(o) = e.poll() {
            match o {
                Output::Send(d) => sent.push(Datagram { local: d.remote, remote: d.local, ..d }),
                Output::Ask(t, a) => asks.push((t, answer(&a))),
                Output::Tell(_) => {}
            }
        }
        if asks.is_empty() {
            return sent;
        }
        for (t, a) in asks {
            e.answer(NOW, t, a);
        }
    }
}

/// One handshake between fresh engines; the time the responder took.
fn handshake(client: &Arc<Snapshot>, gateway: &Arc<Snapshot>, seed: u64) -> Duration {
    let rng = |n: u64| {
        let mut s = [0u8; 32];
        s[..8].copy_from_slice(&n.to_le_bytes());
        crypto::Rng::from_seed(s)
    };
    let mut a = Engine::new(NOW, rng(seed * 2), Arc::clone(client), Shard::default());
    let mut b = Engine::new(NOW, rng(seed * 2 + 1), Arc::clone(gateway), Shard::default());
    let mut responder = Duration::ZERO;
    a.command(NOW, Command::Initiate { id: CommandId(1), ike: None, child: Some("net".to_owned()) });
    let mut to_b = drain(&mut a);
    while !to_b.is_empty() {
        let start = Instant::now();
        for d in to_b {
            b.receive(NOW, d);
        }
        let to_a = drain(&mut b);
        responder += start.elapsed();
        for d in to_a {
            a.receive(NOW, d);
        }
        to_b = drain(&mut a);
    }
    assert_eq!(b.list(&Default::default())[0].children.len(), 1);
    responder
}

fn benches(c: &mut Criterion) {
    for proposals in [
        "aes128gcm16-prfsha256-x25519",
        "aes256gcm16-prfsha384-ecp384",
        "aes128-sha256-modp2048",
        "aes128gcm16-prfsha256-x25519-ke1_mlkem768",
    ] {
        let client = snapshot("a", ("192.0.2.1", "192.0.2.2"), ("carol", "moon"), proposals);
        let gateway = snapshot("b", ("192.0.2.2", "%any"), ("moon", "carol"), proposals);
        let mut seed = 0;
        c.bench_function(&format!("handshake/both/{proposals}"), |b| {
            b.iter(|| {
                seed += 1;
                handshake(&client, &gateway, seed)
            });
        });
        c.bench_function(&format!("handshake/responder/{proposals}"), |b| {
            b.iter_custom(|n| {
                (0..n)
                    .map(|_| {
                        seed += 1;
                        handshake(&client, &gateway, seed)
                    })
                    .sum()
            });
        });
    }
}

criterion_group! {
    name = group;
    config = Criterion::default().sample_size(30).measurement_time(Duration::from_secs(3)).warm_up_time(Duration::from_millis(500));
    targets = benches
}
criterion_main!(group);
