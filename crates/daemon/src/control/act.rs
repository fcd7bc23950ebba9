//! Commands that make something happen: initiate, terminate, rekey, install and the like.
use super::client::Client;
use super::list::name;
use super::{Desk, refused};
use crate::observers::commands::{Outcome, Progress, Waiter};
use crate::observers::log::{Voice, group_name};
use config::tree::Section;
use ike::io::{Command, Filter, Group};
use std::time::Duration;
use vici::Message;

/// Log lines that `initiate` and `terminate` stream unless told otherwise.
const LEVEL: i8 = 1;

/// `timeout` of a request, in milliseconds.
enum Patience {
    /// -1: do not wait.
    None,
    /// 0 or absent: wait for the end.
    Endless,
    Limited(u64),
}

impl Patience {
    fn of(message: &Section) -> Self {
        match message.number::<i64>("timeout") {
            Some(negative) if negative < 0 => Self::None,
            Some(0) | None => Self::Endless,
            Some(limit) => Self::Limited(limit.unsigned_abs()),
        }
    }
}

/// How waiting for a command ended.
enum Waited {
    Done(Outcome),
    Late(u64),
    /// The client left, or the engine is gone.
    Over,
}

/// `initiate`
pub(crate) async fn initiate(client: &mut Client, message: &Section) -> Section {
    let (ike, child) = (name(message, "ike"), name(message, "child"));
    let kind = if child.is_some() { "CHILD_SA" } else { "IKE_SA" };
    let Some(what) = child.clone().or_else(|| ike.clone()) else {
        return refused("missing configuration name");
    };
    say(&client.desk, &format!("vici initiate {kind} '{what}'"));
    let known = {
        let store = client.desk.store.lock().await;
        match &child {
            Some(child) => store.has_child(ike.as_deref(), child),
            None => store.connections.contains_key(&what),
        }
    };
    if !known {
        return refused(format!("{kind} config '{what}' not found"));
    }
    let patience = Patience::of(message);
    if matches!(patience, Patience::None) {
        let id = client.desk.observers.commands.unattended();
        client.desk.shard.command(Command::Initiate { id, ike, child }).await;
        return super::done(Ok(()));
    }
    let mut waiter = client.desk.observers.commands.open(level(message));
    client.desk.shard.command(Command::Initiate { id: waiter.id, ike, child }).await;
    match wait(client, &mut waiter, &patience).await {
        Waited::Done(Outcome { error: None, .. }) => super::done(Ok(())),
        Waited::Done(_) | Waited::Over => refused(format!("establishing {kind} '{what}' failed")),
        Waited::Late(limit) => refused(format!("{kind} '{what}' not established after {limit}ms")),
    }
}

/// `terminate`
pub(crate) async fn terminate(client: &mut Client, message: &Section) -> Section {
    let filter = filter(message);
    let Some(what) = describe(&filter) else { return refused("missing terminate selector") };
    say(&client.desk, &format!("vici terminate {what}"));
    let matches = matching(&client.desk, &filter).await;
    if matches == 0 {
        return counted(false, 0, Some(0), Some("no matching SAs to terminate found".into()));
    }
    let force = message.is_yes("force");
    let patience = Patience::of(message);
    if matches!(patience, Patience::None) {
        let id = client.desk.observers.commands.unattended();
        client.desk.shard.command(Command::Terminate { id, filter, force }).await;
        return counted(true, matches, Some(matches), None);
    }
    let mut waiter = client.desk.observers.commands.open(level(message));
    client.desk.shard.command(Command::Terminate { id: waiter.id, filter, force }).await;
    match wait(client, &mut waiter, &patience).await {
        Waited::Done(outcome) => {
            let matches = outcome.matches.max(matches);
            // An SA that went while we counted is terminated, too.
            let done = if outcome.error.is_none() { matches } else { outcome.done };
            let error = (done < matches)
                .then(|| outcome.error.unwrap_or_else(|| "not all matching SAs could be terminated".into()));
            counted(error.is_none(), matches, Some(done), error)
        }
        Waited::Late(limit) => {
            counted(false, matches, Some(0), Some(format!("SAs not terminated after {limit}ms")))
        }
        Waited::Over => {
            counted(false, matches, Some(0), Some("not all matching SAs could be terminated".into()))
        }
    }
}

/// `rekey`: starts it and returns.
pub(crate) async fn rekey(desk: &Desk, message: &Section) -> Section {
    let filter = filter(message);
    let Some(what) = describe(&filter) else { return refused("missing rekey selector") };
    say(desk, &format!("vici rekey {what}"));
    let matches = matching(desk, &filter).await;
    if matches == 0 {
        return counted(false, 0, None, Some("no matching SAs to rekey found".into()));
    }
    let id = desk.observers.commands.unattended();
    desk.shard.command(Command::Rekey { id, filter, reauth: message.is_yes("reauth") }).await;
    counted(true, matches, None, None)
}

/// `redirect`: the engine cannot yet.
pub(crate) async fn redirect(desk: &Desk, message: &Section) -> Section {
    if name(message, "gateway").is_none() {
        return refused("missing target gateway");
    }
    let filter = Filter { ike: name(message, "ike"), ike_id: message.number("ike-id"), ..Filter::default() };
    let chosen = ["ike", "ike-id", "peer-ip", "peer-id"].iter().any(|key| name(message, key).is_some());
    if !chosen {
        return refused("missing redirect selector");
    }
    if matching(desk, &filter).await == 0 {
        return counted(false, 0, None, Some("no matching SAs to redirect found".into()));
    }
    counted(
        false,
        0,
        None,
        Some("redirecting IKE_SAs (RFC 5685) is not supported by this version of cygnetd".into()),
    )
}

/// `install`
pub(crate) async fn install(desk: &Desk, message: &Section) -> Section {
    let (ike, child) = (name(message, "ike"), name(message, "child"));
    let Some(child) = child else { return refused("missing configuration name") };
    say(desk, &format!("vici install '{child}'"));
    if !desk.store.lock().await.has_child(ike.as_deref(), &child) {
        return refused("configuration name not found");
    }
    let waiter = desk.observers.commands.open(-1);
    desk.shard.command(Command::Install { id: waiter.id, ike, child: child.clone() }).await;
    match waiter.outcome.await {
        Ok(Outcome { error: None, .. }) => super::done(Ok(())),
        Ok(Outcome { error: Some(why), .. }) => {
            say(desk, &format!("installing '{child}' failed: {why}"));
            refused(format!("installing policy '{child}' failed"))
        }
        Err(_) => refused(format!("installing policy '{child}' failed")),
    }
}

/// `uninstall`
pub(crate) async fn uninstall(desk: &Desk, message: &Section) -> Section {
    let (ike, child) = (name(message, "ike"), name(message, "child"));
    let Some(child) = child else { return refused("missing configuration name") };
    say(desk, &format!("vici uninstall '{child}'"));
    let waiter = desk.observers.commands.open(-1);
    desk.shard.command(Command::Uninstall { id: waiter.id, ike, child: child.clone() }).await;
    match waiter.outcome.await {
        Ok(Outcome { error: None, .. }) => super::done(Ok(())),
        Ok(Outcome { error: Some(_), .. }) | Err(_) => refused(format!("policy '{child}' not found")),
    }
}

/// Waits for a command, passing on what it says.
async fn wait(client: &Client, waiter: &mut Waiter, patience: &Patience) -> Waited {
    let limit = match patience {
        Patience::Limited(limit) => Some(*limit),
        Patience::Endless | Patience::None => None,
    };
    let late = async {
        match limit {
            Some(limit) => tokio::time::sleep(Duration::from_millis(limit)).await,
            None => std::future::pending().await,
        }
    };
    let gone = client.gone();
    tokio::pin!(late, gone);
    let wants = client.listens("control-log");
    let waited = loop {
        tokio::select! {
            biased;
            Some(progress) = waiter.progress.recv() => if wants { report(client, progress).await },
            outcome = &mut waiter.outcome => break outcome.map_or(Waited::Over, Waited::Done),
            () = &mut late => break Waited::Late(limit.unwrap_or_default()),
            () = &mut gone => break Waited::Over,
        }
    };
    while let Ok(progress) = waiter.progress.try_recv() {
        if wants {
            report(client, progress).await;
        }
    }
    client.desk.observers.commands.close(waiter.id);
    waited
}

async fn report(client: &Client, progress: Progress) {
    let mut event = Section::default();
    event.put("group", group_name(progress.group));
    event.put("level", progress.level);
    if let Some((name, id)) = progress.ike {
        event.put("ikesa-name", name);
        event.put("ikesa-uniqueid", id);
    }
    event.put("msg", progress.text);
    client.stream("control-log", event).await;
}

fn level(message: &Section) -> i8 {
    message.number("loglevel").unwrap_or(LEVEL)
}

fn filter(message: &Section) -> Filter {
    Filter {
        ike: name(message, "ike"),
        ike_id: message.number("ike-id").filter(|id| *id != 0),
        child: name(message, "child"),
        child_id: message.number("child-id").filter(|id| *id != 0),
    }
}

/// What a filter names, in charon's words; `None` when it names nothing.
fn describe(filter: &Filter) -> Option<String> {
    if let Some(id) = filter.child_id {
        return Some(format!("CHILD_SA #{id}"));
    }
    if let Some(id) = filter.ike_id {
        return Some(format!("IKE_SA #{id}"));
    }
    if let Some(child) = &filter.child {
        return Some(format!("CHILD_SA '{child}'"));
    }
    filter.ike.as_ref().map(|ike| format!("IKE_SA '{ike}'"))
}

/// SAs that a filter names: CHILD_SAs when it names a child, IKE_SAs else.
async fn matching(desk: &Desk, filter: &Filter) -> u32 {
    u32::try_from(desk.shard.count(filter).await).unwrap_or(u32::MAX)
}

fn counted(success: bool, matches: u32, terminated: Option<u32>, error: Option<String>) -> Section {
    let mut out = Section::default();
    out.put_bool("success", success);
    out.put("matches", matches);
    if let Some(terminated) = terminated {
        out.put("terminated", terminated);
    }
    if let Some(error) = error {
        out.put("errmsg", error);
    }
    out
}

fn say(desk: &Desk, text: &str) {
    desk.log.say(Voice::Control, Group::Cfg, 1, text);
}
