//! `--stats`, `--counters`, `--version`.
use super::{Call, Outcome, act};
use crate::out::{clean, put};
use config::tree::Section;
use vici::Message;

pub(super) fn stats(call: &Call<'_>) -> Outcome {
    let answer = call.connect()?.request("stats", Section::default())?;
    if call.raw("stats reply", &answer) {
        return Ok(0);
    }
    let at = |section: Option<&Section>, key: &str| -> String {
        section.and_then(|section| section.text(key)).map(|text| clean(text).into_owned()).unwrap_or_default()
    };
    let uptime = answer.child("uptime");
    put!("uptime: {}, since {}", at(uptime, "running"), at(uptime, "since"));
    let workers = answer.child("workers");
    let active = workers.and_then(|workers| workers.child("active"));
    let four = |section| ["critical", "high", "medium", "low"].map(|key| at(section, key)).join("/");
    put!(
        "worker threads: {} total, {} idle, working: {}",
        at(workers, "total"),
        at(workers, "idle"),
        four(active)
    );
    put!("job queues: {}", four(answer.child("queues")));
    put!("jobs scheduled: {}", at(Some(&answer), "scheduled"));
    let sas = answer.child("ikesas");
    put!("IKE_SAs: {} total, {} half-open", at(sas, "total"), at(sas, "half-open"));
    if let Some(memory) = answer.child("mem") {
        put!("memory usage: {} bytes, {} allocations", at(Some(memory), "total"), at(Some(memory), "allocs"));
    }
    if let Some(info) = answer.child("mallinfo") {
        let [sbrk, mmap, used, free] = ["sbrk", "mmap", "used", "free"].map(|key| at(Some(info), key));
        put!("mallinfo: sbrk {sbrk}, mmap {mmap}, used {used}, free {free}");
    }
    put!("loaded plugins: {}", clean(&answer.items("plugins").join(" ")));
    Ok(0)
}

pub(super) fn counters(call: &Call<'_>) -> Outcome {
    let command = if call.has("reset") { "reset-counters" } else { "get-counters" };
    let mut message = Section::default();
    call.copy("name", &mut message);
    if call.has("all") {
        message.put_bool("all", true);
    }
    let answer = call.connect()?.request(command, message)?;
    let label = if call.has("reset") { "reset-counters reply" } else { "counters reply" };
    if call.raw(label, &answer) {
        return Ok(0);
    }
    if !answer.is_yes("success") {
        return Ok(act::failed(command, &answer));
    }
    if call.has("reset") {
        put!("reset-counters completed successfully");
        return Ok(0);
    }
    for (name, counters) in answer.child("counters").into_iter().flat_map(|all| all.children()) {
        put!("{}:", if name.is_empty() { "global".into() } else { clean(name) });
        for key in counters.entries.keys() {
            put!("  {:<22}: {}", clean(key), clean(counters.text(key).unwrap_or_default()));
        }
    }
    Ok(0)
}

pub(super) fn version(call: &Call<'_>) -> Outcome {
    if !call.has("daemon") {
        put!("cygnet swanctl {}", env!("CARGO_PKG_VERSION"));
        return Ok(0);
    }
    let answer = call.connect()?.request("version", Section::default())?;
    if call.raw("version reply", &answer) {
        return Ok(0);
    }
    let [daemon, version, sysname, release, machine] = ["daemon", "version", "sysname", "release", "machine"]
        .map(|key| clean(answer.text(key).unwrap_or_default()).into_owned());
    put!("strongSwan {version} {daemon} ({sysname}, {release}, {machine})");
    Ok(0)
}
