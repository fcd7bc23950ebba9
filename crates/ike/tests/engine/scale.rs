//! A gateway with many clients: nothing it does takes long, however many there are.
use ike::io::Filter;
use ike::{Datagram, SLICE};
use testkit::fleet::Fleet;

fn fleet(clients: usize, alter: fn(&mut policy::Connection)) -> Fleet {
    let mut fleet = Fleet::new(alter, |_| {});
    for _ in 0..clients {
        let _client = fleet.join(&mut |step| step());
    }
    fleet
}

#[test]
fn a_list_in_slices_is_the_list() {
    let fleet = fleet(10, |_| {});
    let gateway = &fleet.gateway;
    let ids = |sas: &[ike::io::IkeView]| -> Vec<u32> { sas.iter().map(|sa| sa.unique_id).collect() };
    let all = gateway.list(&Filter::default());
    assert_eq!(all.len(), 10);
    for most in [0, 1, 3, 5, 10, 11] {
        let (mut seen, mut after, mut slices) = (Vec::new(), None, 0);
        loop {
            let page = gateway.list_after(&Filter::default(), after, most);
            assert!(page.sas.len() <= most.max(1));
            seen.extend(ids(&page.sas));
            slices += 1;
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        assert_eq!(seen, ids(&all));
        assert_eq!(slices, 10usize.div_ceil(most.max(1)));
    }
    // What does not match counts as looked at, too: a slice may be empty and not the last.
    let other = Filter { ike: Some("other".to_owned()), ..Filter::default() };
    let page = gateway.list_after(&other, None, 4);
    assert!(page.sas.is_empty() && page.next == Some(all[3].unique_id));
    // Whoever has a number is found at once.
    let child = all[7].children[0].sa.id;
    let one = Filter { child_id: Some(child), ..Filter::default() };
    let page = gateway.list_after(&one, None, 1);
    assert_eq!((ids(&page.sas), page.next), (vec![all[7].unique_id], None));
    let both = Filter { ike_id: Some(all[6].unique_id), ..one };
    assert!(gateway.list(&both).is_empty());
    let named = Filter { ike_id: Some(all[6].unique_id), child: Some("net".to_owned()), ..Filter::default() };
    assert_eq!(ids(&gateway.list_after(&named, None, 1).sas), [all[6].unique_id]);
    assert!(gateway.list_after(&named, Some(all[6].unique_id), 1).sas.is_empty());
}

/// Many deadlines fall on one moment: they are worked on in slices, and what comes in between is answered.
#[test]
fn what_falls_due_at_once_is_done_in_slices() {
    let clients = 2 * SLICE + 10;
    let mut fleet = fleet(clients, |conn| conn.dpd_delay = 30);
    let mut last = fleet.join(&mut |step| step());
    fleet.now.mono += 30_000;
    let mut checks = Vec::new();
    loop {
        fleet.gateway.wake(fleet.now);
        let mut sent = 0;
        while let Some(output) = fleet.gateway.poll() {
            sent += usize::from(matches!(output, ike::Output::Send(_)));
        }
        checks.push(sent);
        if fleet.gateway.next_wake().is_none_or(|at| at > fleet.now.mono) {
            break;
        }
        // A client is heard between two slices.
        let up = ike::Command::Rekey { id: ike::io::CommandId(7), filter: Filter::default(), reauth: false };
        if checks.len() == 1 {
            last.engine.command(fleet.now, up);
            let mut request: Vec<Datagram> = Vec::new();
            while let Some(output) = last.engine.poll() {
                if let ike::Output::Send(d) = output {
                    request.push(Datagram { local: d.remote, remote: d.local, ..d });
                }
            }
            assert_eq!(request.len(), 1);
            fleet.gateway.receive(fleet.now, request.remove(0));
            let mut answered = false;
            while let Some(output) = fleet.gateway.poll() {
                answered |= matches!(output, ike::Output::Send(d) if d.remote.ip() == last.address.ip());
            }
            assert!(answered);
        }
    }
    assert!(checks.iter().all(|n| *n <= SLICE), "{checks:?}");
    assert_eq!(checks.iter().sum::<usize>(), clients, "{checks:?}");
}
