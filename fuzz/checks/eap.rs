//! What must hold for every byte string that reaches `eap`, at any moment of a conversation.
//!
//! The input is a script: the first byte chooses method, version of TLS and inner method; then come steps, each of which
//! hands the victim what the honest other end says, or that with bytes changed, or bytes of the script.

use crypto::sign::PrivateKey;
use crypto::{Rng, Secret};
use eap::tls::{Credentials, Judge, Judgement, Role, Tls, Version};
use eap::{
    Identity, Limits, Method, Peer, PeerConfig, SecretKind, Secrets, Server, ServerConfig, Step,
    TunnelOptions, Tunnels,
};
use std::sync::{Arc, LazyLock};

struct Carol;

impl Secrets for Carol {
    fn secret(&self, user: &[u8], kind: SecretKind) -> Option<Secret> {
        (user == b"carol" && kind == SecretKind::Password).then(|| Secret::from(b"secret"))
    }
}

static KEY: LazyLock<Arc<PrivateKey>> = LazyLock::new(|| {
    let der = include_bytes!("../../crates/eap/tests/data/p256.p8");
    Arc::new(PrivateKey::from_pkcs8(der).expect("a key"))
});

/// Both ends have the same key, and a "certificate" of this text.
const CERTIFICATE: &[u8] = b"certificate";

struct Trusting;

impl Judge for Trusting {
    fn judge(&self, chain: &[&[u8]], _: Role, _: &[u8]) -> Judgement {
        let verdict = if chain.first() == Some(&CERTIFICATE) {
            Ok(KEY.public().clone())
        } else {
            Err(eap::Failed { alert: "cert-no-issuer", certificate: String::new(), reason: "unknown".into() })
        };
        Judgement { verdict, log: Vec::new() }
    }
}

fn ends(choice: u8) -> (Server, Peer) {
    let method = Method::ALL[usize::from(choice % 6)];
    let version = if choice & 0x40 == 0 { Version::V12 } else { Version::V13 };
    let phase2_method = [Method::Md5, Method::Mschapv2][usize::from(choice >> 7)];
    let own = Credentials { chain: vec![CERTIFICATE.to_vec()], signer: KEY.clone() };
    let tls = Tls::new(version, version, &[], Arc::new(Trusting)).expect("TLS").with_credentials(own);
    let tls = Some(Arc::new(tls));
    let with = |m| TunnelOptions { fragment_size: 200, phase2_method, ..TunnelOptions::of(m) };
    let tunnels = Tunnels { tls: with(Method::Tls), ttls: with(Method::Ttls), peap: with(Method::Peap) };
    let server = ServerConfig {
        methods: vec![method, Method::Md5],
        prefer_user: false,
        identity: Identity::Ask,
        peer: b"carol".to_vec(),
        name: b"moon".to_vec(),
        secrets: Arc::new(Carol),
        tls: tls.clone(),
        tunnels: tunnels.clone(),
        limits: Limits::default(),
    };
    let peer = PeerConfig {
        methods: vec![method],
        inner_methods: vec![phase2_method],
        ttls_pap: false,
        identity: b"carol".to_vec(),
        anonymous: None,
        server: b"moon".to_vec(),
        secrets: Arc::new(Carol),
        tls,
        tunnels,
        limits: Limits::default(),
    };
    (
        Server::new(Arc::new(server), Rng::from_seed([1; 32])),
        Peer::new(Arc::new(peer), Rng::from_seed([2; 32])),
    )
}

/// The script's next change to an honest packet: nothing, a changed copy, or other bytes.
fn change(script: &mut &[u8], honest: &[u8]) -> Option<Vec<u8>> {
    let (op, rest) = script.split_first()?;
    *script = rest;
    let mut take = |n: usize| {
        let (taken, rest) = script.split_at(n.min(script.len()));
        *script = rest;
        taken
    };
    Some(match op % 4 {
        0 | 1 => honest.to_vec(),
        2 => {
            let mut changed = honest.to_vec();
            if let [a, b, value] = take(3) {
                let at = usize::from(u16::from_be_bytes([*a, *b])) % changed.len().max(1);
                if *value == 0 {
                    changed.truncate(at);
                } else if let Some(byte) = changed.get_mut(at) {
                    *byte ^= value;
                }
            }
            changed
        }
        _ => {
            let length = take(1).first().copied().map_or(0, usize::from);
            take(length).to_vec()
        }
    })
}

/// A conversation in which the way to one of the ends is the script's.
fn run(script: &[u8], to_server: bool) {
    let Some((choice, mut script)) = script.split_first() else { return };
    let (mut server, mut peer) = ends(*choice);
    let Step::Send { packet: mut request, .. } = server.start() else { return };
    let mut granted = None;
    for _ in 0..200 {
        let heard = if to_server { Some(request.clone()) } else { change(&mut script, &request) };
        let Some(heard) = heard else { return };
        let answer = match peer.step(&heard) {
            Step::Send { packet, .. } => packet,
            Step::Success { msk, .. } => {
                // Who reaches a success has the other end's key, whatever was changed on the way. (Methods without keys
                // cannot tell.)
                if let (Some(mine), Some(Some(theirs))) = (msk, granted) {
                    assert_eq!(mine, theirs);
                }
                return;
            }
            Step::Failure { .. } => return,
        };
        let heard = if to_server { change(&mut script, &answer) } else { Some(answer) };
        let Some(heard) = heard else { return };
        request = match server.step(&heard) {
            Step::Send { packet, .. } => packet,
            Step::Success { packet, msk, .. } => {
                granted = Some(msk);
                packet
            }
            Step::Failure { packet, .. } => packet,
        };
    }
}

/// The server's inputs.
pub(crate) fn server(script: &[u8]) {
    run(script, true);
}

/// The peer's inputs.
pub(crate) fn peer(script: &[u8]) {
    run(script, false);
}
