//! XFRM interface ids, and interfaces that connections have of their own.
use crate::harness::*;
use ike::Command;
use ike::io::Filter;
use policy::{Connection, Interface, MarkValue, Settings};
use std::sync::Arc;

fn with_ids(inbound: MarkValue, outbound: MarkValue) -> impl Fn(&mut Connection) {
    move |c| (c.if_id_in, c.if_id_out) = (inbound, outbound)
}

fn ids(w: &World, n: usize) -> Vec<(u32, u32)> {
    w.nodes[n].installed.values().map(|c| (c.if_id_in, c.if_id_out)).collect()
}

#[test]
fn children_have_the_connections_ids_at_either_end() {
    let fixed = with_ids(MarkValue::Fixed(42), MarkValue::Fixed(1337));
    let w = established(road_warrior_with(&fixed, &fixed, Settings::default()));
    for n in 0..2 {
        assert_eq!(ids(&w, n), [(42, 1337)], "{n}");
        let view = &w.nodes[n].engine.list(&all())[0];
        assert_eq!((view.if_id_in, view.if_id_out), (42, 1337), "{n}");
    }
}

#[test]
fn unique_ids_are_those_of_the_ike_sa_and_outlive_its_rekeying() {
    let unique = with_ids(MarkValue::UniqueDir, MarkValue::UniqueDir);
    let same = with_ids(MarkValue::Unique, MarkValue::Unique);
    let mut w = established(road_warrior_with(same, unique, Settings::default()));
    let (client, gateway) = (ids(&w, 0), ids(&w, 1));
    assert_eq!(client[0].0, client[0].1);
    assert_ne!(gateway[0].0, gateway[0].1);
    w.command(1, |id| Command::Rekey { id, filter: Filter::default(), reauth: false });
    w.advance(10_000);
    assert_eq!((ids(&w, 0), ids(&w, 1)), (client, gateway.clone()));
    let view = &w.nodes[1].engine.list(&all())[0];
    assert_eq!((view.if_id_in, view.if_id_out), gateway[0]);
    w.assert_agreement();
}

#[test]
fn an_interface_of_its_own_for_each_ike_sa() {
    let own = |name: &'static str| {
        move |c: &mut Connection| {
            c.interface = Some(Arc::new(Interface::named(name)));
            let value = if name.contains('%') { MarkValue::Unique } else { MarkValue::Fixed(7) };
            (c.if_id_in, c.if_id_out) = (value, value);
        }
    };
    let w = established(road_warrior_with(own("ipsec0"), own("rw%unique"), Settings::default()));
    let name = |n: usize| {
        let child = w.nodes[n].installed.values().next().unwrap();
        (child.interface.as_ref().unwrap().name.clone(), child.if_id_out)
    };
    assert_eq!(name(0), ("ipsec0".to_owned(), 7));
    let (called, id) = name(1);
    assert_eq!(called, format!("rw{id}"));
}

#[test]
fn a_trap_has_what_the_connection_has_and_a_shunt_has_not() {
    let left = |c: &mut Connection| {
        c.interface = Some(Arc::new(Interface::named("ipsec0")));
        with_ids(MarkValue::Fixed(7), MarkValue::Fixed(7))(c);
        let mut pass = child("pass", "10.2.0.0/16", "10.9.0.0/16");
        pass.mode = policy::Mode::Pass;
        c.children.push(Arc::new(pass));
    };
    let mut w = World::new(site_to_site_with(left, |_| {}, Settings::default()));
    for name in ["net", "pass"] {
        let id = w.command(0, |id| Command::Install { id, ike: None, child: name.into() });
        assert_eq!(w.result(0, id), Some(None));
    }
    let of = |name: &str| {
        let found = w.nodes[0].policies.values().find(|p| p.config.name == name).unwrap();
        (found.if_id_in, found.if_id_out, found.interface.is_some())
    };
    assert_eq!(of("net"), (7, 7, true));
    assert_eq!(of("pass"), (0, 0, false));
}
