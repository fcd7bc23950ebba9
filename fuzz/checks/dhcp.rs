//! What must hold whatever a DHCP server, or whoever poses as one, sends.

use dhcp::{Client, Output, Settings, Subject};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 20);

/// Two clients and a server that sends the script's bytes: as they are, and as options of answers that fit the
/// transactions under way.
pub(crate) fn server(script: &[u8]) {
    let mut state = 1_u64;
    let random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state
    };
    let settings = Settings { server: Ipv4Addr::BROADCAST, force_server: false, relay: None };
    let mut client = Client::new(settings, random);
    let mut now = 0;
    for name in ["carol", "dave"] {
        client.start(now, Subject::of_identity(name.as_bytes()).named(name)).expect("room for two");
    }
    let (mut heard, mut held) = (vec![], BTreeSet::new());
    drain(&mut client, &mut heard, &mut held);
    client.receive(now, SERVER, script);
    for piece in script.chunks(48).take(32) {
        let Some((control, options)) = piece.split_first() else { return };
        let Some(last) = heard.len().checked_sub(1) else { return };
        let request: &Vec<u8> = &heard[last.saturating_sub(usize::from(control & 1))];
        let mut answer = request.get(..240).expect("a whole message").to_vec();
        answer[0] = 2;
        answer[16..20].copy_from_slice(&[10, 1, 0, control >> 4]);
        answer.extend([53, 1, [2, 5, 6, 5][usize::from(control >> 1 & 3)], 54, 4]);
        answer.extend(SERVER.octets());
        answer.extend(options);
        client.receive(now, SERVER, &answer);
        drain(&mut client, &mut heard, &mut held);
        if control & 8 != 0
            && let Some(at) = client.deadline()
        {
            now = now.max(at);
            client.timeout(now);
            drain(&mut client, &mut heard, &mut held);
        }
        assert!(client.deadline().is_none_or(|at| at > now), "a timer that has passed");
    }
}

fn drain(client: &mut Client, heard: &mut Vec<Vec<u8>>, held: &mut BTreeSet<Ipv4Addr>) {
    while let Some(output) = client.poll() {
        match output {
            Output::Send { datagram, .. } => {
                assert!((300..=1500).contains(&datagram.len()));
                heard.push(datagram);
            }
            Output::Bound(_, lease) => assert!(held.insert(lease.address), "given twice"),
            Output::Renewed(_, lease) => assert!(held.contains(&lease.address)),
            Output::Lost(_, address, _) => assert!(held.remove(&address)),
            Output::Log(_, text) => assert!(!text.chars().any(char::is_control)),
            Output::Failed(..) => {}
        }
    }
}
