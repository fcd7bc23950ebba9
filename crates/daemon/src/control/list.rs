//! Lists: SAs, connections, policies.
use super::client::Client;
use super::{Desk, view};
use config::tree::Section;
use ike::io::{Filter, IkeView};
use policy::Mode;
use policy::sa::PolicyOnly;
use vici::Message;

/// `list-sas`: one event per IKE_SA.
pub(crate) async fn sas(client: &mut Client, message: &Section) -> Section {
    let child = message.text("child").filter(|name| !name.is_empty());
    let child_id: Option<u32> = message.number("child-id");
    let filter = Filter { ike: name(message, "ike"), ike_id: message.number("ike-id"), ..Filter::default() };
    let mut pages = client.desk.shard.pages(filter);
    // No more than one page is held: the next is asked for when the client has taken this one.
    while let Some(mut page) = pages.next().await {
        let ids: Vec<u32> = page.iter().flat_map(|sa| sa.children.iter().map(|c| c.sa.id)).collect();
        let usages = client.desk.plane.query(ids).await;
        for child in page.iter_mut().flat_map(|sa| &mut sa.children) {
            if let Some((usage_in, usage_out)) = usages.get(&child.sa.id) {
                child.usage_in = *usage_in;
                child.usage_out = *usage_out;
            }
        }
        let now = linux::clock::monotonic_ms();
        for sa in &page {
            // charon shows an IKE_SA also when none of its CHILD_SAs match.
            let mut section = view::ike_sa(sa, now);
            section.put_section("child-sas", children(sa, child, child_id, now));
            let mut event = Section::default();
            event.put_section(&sa.name, section);
            if !client.stream("list-sa", event).await {
                return Section::default();
            }
        }
    }
    Section::default()
}

fn children(sa: &IkeView, name: Option<&str>, id: Option<u32>, now: u64) -> Section {
    let mut out = Section::default();
    let wanted = sa
        .children
        .iter()
        .filter(|child| name.is_none_or(|name| child.sa.config.name == name))
        .filter(|child| id.is_none_or(|id| child.sa.id == id));
    for child in wanted {
        out.put_section(&view::child_key(child), view::child_sa(child, now));
    }
    out
}

/// `list-policies`: one event per trap, pass or drop policy asked for.
pub(crate) async fn policies(client: &mut Client, message: &Section) -> Section {
    let (trap, pass, drop) = (message.is_yes("trap"), message.is_yes("pass"), message.is_yes("drop"));
    let child = name(message, "child");
    let ike = name(message, "ike");
    let wanted = |policy: &PolicyOnly| match policy.config.mode {
        Mode::Pass => pass,
        Mode::Drop => drop,
        Mode::Tunnel | Mode::Transport | Mode::TransportProxy | Mode::Beet | Mode::Iptfs => trap,
    };
    for policy in client.desk.shard.policies().await {
        let named = child.as_ref().is_none_or(|name| *name == policy.config.name)
            && ike.as_ref().is_none_or(|name| *name == policy.connection);
        if wanted(&policy) && named {
            let mut event = Section::default();
            let key = format!("{}/{}", policy.connection, policy.config.name);
            event.put_section(&key, view::policy(&policy));
            client.stream("list-policy", event).await;
        }
    }
    Section::default()
}

/// `list-conns`: one event per connection.
pub(crate) async fn conns(client: &mut Client, message: &Section) -> Section {
    let ike = name(message, "ike");
    let connections: Vec<_> = client.desk.store.lock().await.all().cloned().collect();
    for connection in connections.iter().filter(|c| ike.as_ref().is_none_or(|name| *name == c.name)) {
        let mut event = Section::default();
        event.put_section(&connection.name, view::connection(connection));
        client.stream("list-conn", event).await;
    }
    Section::default()
}

/// `get-conns`
pub(crate) async fn get_conns(desk: &Desk) -> Section {
    let mut out = Section::default();
    out.put_list("conns", desk.store.lock().await.connections.keys());
    out
}

/// A name in a request; empty is none.
pub(super) fn name(message: &Section, key: &str) -> Option<String> {
    message.text(key).filter(|name| !name.is_empty()).map(str::to_owned)
}
