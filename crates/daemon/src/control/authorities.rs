//! `load-authority` and the rest about certification authorities.
use super::client::Client;
use super::list::name;
use super::load::text;
use super::{Desk, Outcome};
use crate::credentials::resolve;
use crate::observers::log::Voice;
use config::tree::Section;
use config::{Report, load_authority};
use ike::io::{Group, StartActions};
use policy::CertRef;
use vici::Message;

/// `load-authority`: every section of the message is an authority.
pub(super) async fn load(desk: &Desk, message: &Section) -> Outcome {
    for (name, section) in message.children() {
        let authority = read(desk, name, section).await?;
        let subject = authority.certificate.subject().clone();
        let mut store = desk.store.lock().await;
        let known = store.credentials.authorities.insert(name.to_owned(), authority).is_some();
        let verb = if known { "replaced" } else { "added" };
        desk.log.say(Voice::Control, Group::Cfg, 1, format!("{verb} vici authority: {name} ({subject})"));
        desk.shard.command(store.reload(StartActions::default())).await;
    }
    Ok(())
}

async fn read(desk: &Desk, name: &str, section: &Section) -> Result<pki::Authority, String> {
    let config = load_authority(name, section).map_err(|reports| in_short(&reports))?;
    let reference = match (config.file, config.handle) {
        (Some(file), _) => CertRef::File(file),
        (None, Some(handle)) => CertRef::Token { handle, slot: config.slot, module: config.module },
        (None, None) if config.cacert.is_empty() => return Err(format!("CA certificate missing: {name}")),
        (None, None) => CertRef::Raw(config.cacert),
    };
    let shared = desk.credentials.clone();
    let work = tokio::task::spawn_blocking(move || resolve::certificate(&reference, &shared.tokens));
    let certificate = match work.await {
        Ok(Ok(certificate)) if certificate.is_ca() => certificate,
        Ok(Ok(certificate)) => {
            let subject = certificate.subject();
            return Err(format!("CA certificate missing: {name} ('{subject}' lacks CA basic constraint)"));
        }
        Ok(Err(why)) => return Err(format!("CA certificate missing: {name} ({why})")),
        Err(e) => return Err(format!("CA certificate missing: {name} ({e})")),
    };
    Ok(pki::Authority {
        name: name.to_owned(),
        certificate,
        crl_uris: config.crl_uris,
        ocsp_uris: config.ocsp_uris,
        cert_uri_base: config.cert_uri_base,
    })
}

/// charon's words, then ours.
fn in_short(reports: &[Report]) -> String {
    let texts: Vec<String> = reports.iter().filter(|report| report.is_error()).map(Report::text).collect();
    let first = reports.iter().find(|report| report.is_error());
    let key = first.and_then(|report| report.path.rsplit('.').next()).unwrap_or_default();
    let what = match first {
        Some(report) if report.message == "unknown key" => "unknown option",
        _ => "invalid value for",
    };
    format!("{what}: {key}, authority discarded ({})", texts.join("; "))
}

/// `unload-authority`
pub(super) async fn unload(desk: &Desk, message: &Section) -> Outcome {
    let name = text(message, "name").ok_or("unload: missing authority name")?;
    let mut store = desk.store.lock().await;
    if store.credentials.authorities.shift_remove(name).is_none() {
        return Err(format!("unload: authority '{name}' not found"));
    }
    desk.log.say(Voice::Control, Group::Cfg, 1, format!("removed vici authority: {name}"));
    desk.shard.command(store.reload(StartActions::default())).await;
    Ok(())
}

/// `list-authorities`: one event per authority.
pub(super) async fn stream(client: &mut Client, message: &Section) -> Section {
    let only = name(message, "name");
    let authorities: Vec<pki::Authority> =
        client.desk.store.lock().await.credentials.authorities.values().cloned().collect();
    for authority in authorities {
        if only.as_ref().is_some_and(|only| *only != authority.name) {
            continue;
        }
        let mut section = Section::default();
        section.put("cacert", authority.certificate.subject());
        section.put_list("crl_uris", &authority.crl_uris);
        section.put_list("ocsp_uris", &authority.ocsp_uris);
        if let Some(base) = &authority.cert_uri_base {
            section.put("cert_uri_base", base);
        }
        let mut event = Section::default();
        event.put_section(&authority.name, section);
        client.stream("list-authority", event).await;
    }
    Section::default()
}

/// `get-authorities`
pub(super) async fn list(desk: &Desk) -> Section {
    let mut out = Section::default();
    out.put_list("authorities", desk.store.lock().await.credentials.authorities.keys());
    out
}
