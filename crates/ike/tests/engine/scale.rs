//! A gateway with many clients: nothing it does takes long, however many there are.
use ike::io::{CommandId, Filter};
use ike::{BEGIN, Command, Datagram, SLICE, UNDER_WAY};
use testkit::fleet::{Client, Fleet};

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
        let up = Command::Rekey { id: CommandId(7), filter: Filter::default(), reauth: false };
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

/// More clients than are worked on at once.
const CROWD: usize = UNDER_WAY + 100;

fn crowd() -> (Fleet, Vec<Client>) {
    let mut fleet = Fleet::new(|conn| conn.dpd_delay = 0, |_| {});
    let clients = (0..CROWD).map(|_| fleet.join(&mut |step| step())).collect();
    (fleet, clients)
}

/// Wakes the gateway for as long as it wants that at once; what it sends, each time.
fn wake(fleet: &mut Fleet) -> Vec<Vec<Datagram>> {
    let mut sent = Vec::new();
    while fleet.gateway.next_wake().is_some_and(|at| at <= fleet.now.mono) {
        fleet.gateway.wake(fleet.now);
        sent.push(fleet.take());
    }
    sent
}

fn rekey(id: u64, child: bool, reauth: bool) -> Command {
    let child = child.then(|| "net".to_owned());
    Command::Rekey { id: CommandId(id), filter: Filter { child, ..Filter::default() }, reauth }
}

fn terminate(child: bool, force: bool) -> Command {
    let child = child.then(|| "net".to_owned());
    Command::Terminate { id: CommandId(7), filter: Filter { child, ..Filter::default() }, force }
}

fn children(fleet: &Fleet) -> Vec<u32> {
    let all = fleet.gateway.list(&Filter::default());
    all.iter().flat_map(|sa| &sa.children).filter(|c| c.state == "INSTALLED").map(|c| c.sa.id).collect()
}

/// A command for very many begins a few at a time, and no more are under way than can be answered soon.
#[test]
fn a_command_for_very_many_keeps_its_pace() {
    let commands =
        [rekey(7, true, false), rekey(7, false, false), rekey(7, false, true), terminate(true, false)];
    for command in commands.into_iter().chain([terminate(false, false), terminate(false, true)]) {
        let (mut fleet, mut clients) = crowd();
        let (said, before) = (format!("{command:?}"), children(&fleet));
        fleet.gateway.command(fleet.now, command);
        let mut sent = vec![fleet.take()];
        let (mut rounds, mut most) = (0, 0);
        loop {
            sent.extend(wake(&mut fleet));
            assert!(sent.iter().all(|turn| turn.len() <= BEGIN), "{said}");
            let all: Vec<Datagram> = sent.drain(..).flatten().collect();
            if all.is_empty() {
                break;
            }
            (rounds, most) = (rounds + 1, most.max(all.len()));
            for datagram in all {
                let at = |client: &Client| client.address.ip() == datagram.local.ip();
                let client = clients.iter_mut().find(|client| at(client)).unwrap();
                client.engine.receive(fleet.now, datagram);
                fleet.settle(client, &mut |step| step());
            }
        }
        let forced = said.contains("force: true");
        // Who leaves waits for nobody.
        assert!(forced || most == UNDER_WAY && rounds >= 2, "{said}: {rounds}, {most}");
        let after = children(&fleet);
        assert!(said.contains("reauth: false") || after.is_empty(), "{said}");
        let again = said.contains("child: Some") && said.contains("Rekey");
        assert!(
            !again || after.len() == before.len() && after.iter().all(|id| !before.contains(id)),
            "{said}"
        );
    }
}

/// Peers that do not answer hold up the others for a moment only.
#[test]
fn who_does_not_answer_holds_nobody_up() {
    let (mut fleet, _clients) = crowd();
    fleet.gateway.command(fleet.now, rekey(7, true, false));
    let mut sent = fleet.take().len();
    sent += wake(&mut fleet).concat().len();
    assert_eq!(sent, UNDER_WAY);
    // Whoever means few does not wait for the others.
    let last = Filter { ike_id: u32::try_from(CROWD).ok(), ..Filter::default() };
    fleet.gateway.command(fleet.now, Command::Terminate { id: CommandId(8), filter: last, force: true });
    assert_eq!(fleet.take().len(), 1);
    assert_eq!(fleet.gateway.next_wake(), Some(fleet.now.mono + 1_000));
    fleet.now.mono += 1_000;
    sent += wake(&mut fleet).concat().len();
    assert_eq!(sent, CROWD - 1);
}

#[test]
fn those_a_command_would_mean_are_counted() {
    let (mut fleet, _clients) = crowd();
    let all = CROWD;
    let count = |fleet: &Fleet, filter: &Filter| fleet.gateway.count_after(filter, None).count;
    let child = Filter { child: Some("net".to_owned()), ..Filter::default() };
    let other = Filter { child: Some("other".to_owned()), ..Filter::default() };
    let one = Filter { ike_id: Some(5), ..Filter::default() };
    let of = |fleet: &Fleet| [&Filter::default(), &child, &other, &one].map(|filter| count(fleet, filter));
    assert_eq!(of(&fleet), [all, all, 0, 1]);
    fleet
        .gateway
        .command(fleet.now, Command::Terminate { id: CommandId(7), filter: one.clone(), force: true });
    fleet.take();
    assert_eq!(of(&fleet), [all - 1, all - 1, 0, 0]);
}
