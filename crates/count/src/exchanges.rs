//! Whole exchanges of two engines: what each role computes, from the datagram that comes to the one that goes,
//! questions answered at once and their answers counted (the address leased, the signature made).
use crate::certificates::{Kind, keychains};
use crate::meter::Counts;
use crate::pair::{CLIENT, GATEWAY, Pair, Plan, Proof, Side};

/// Exchanges of each kind.
const TIMES: u8 = 8;

pub(crate) fn all(counts: &mut Counts) {
    if !counts.wants("ike/") {
        return;
    }
    let x25519 = Plan::new("aes128gcm16-prfsha256-x25519", Proof::Psk);
    handshakes(counts, "psk/x25519", &x25519);
    let hybrid = Plan::new("aes256gcm16-prfsha384-x25519-ke1_mlkem768", Proof::Psk);
    handshakes(counts, "psk/x25519+mlkem768", &hybrid);
    for (name, kind) in [("ecdsa", Kind::Ecdsa), ("rsa3072", Kind::Rsa)] {
        let [client, gateway] = keychains(kind, [CLIENT, GATEWAY]);
        let plan = Plan::new("aes128gcm16-prfsha256-x25519", Proof::Certificates(client, gateway));
        handshakes(counts, &format!("{name}/x25519"), &plan);
    }
    for (name, side) in [("initiator", Side::Initiator), ("responder", Side::Responder)] {
        counts.bench(&format!("ike/rekey IKE_SA/{name}"), TIMES.into(), |meter| {
            for seed in 0..TIMES {
                Pair::established(&x25519, seed).rekey_ike(Some((&mut *meter, side)));
            }
        });
        counts.bench(&format!("ike/rekey CHILD_SA/{name}"), TIMES.into(), |meter| {
            for seed in 0..TIMES {
                Pair::established(&x25519, seed).rekey_child(Some((&mut *meter, side)));
            }
        });
    }
    let mut pair = Pair::established(&x25519, 0);
    counts.bench("ike/liveness/both", TIMES.into(), |meter| {
        for _ in 0..TIMES {
            pair.liveness(Some((&mut *meter, Side::Both)));
        }
    });
}

fn handshakes(counts: &mut Counts, name: &str, plan: &Plan) {
    // The backend of the cryptography sets itself up once.
    Pair::established(plan, 0xff);
    for (role, side) in [("initiator", Side::Initiator), ("responder", Side::Responder)] {
        counts.bench(&format!("ike/handshake/{name}/{role}"), TIMES.into(), |meter| {
            for seed in 0..TIMES {
                Pair::new(plan, seed).handshake(Some((&mut *meter, side)));
            }
        });
    }
}
