//! Commands that make the daemon do something: initiate, terminate, rekey, redirect, install, uninstall, flush, reload.
use super::{Call, Outcome, Trouble};
use crate::out::{clean, complain, put};
use config::tree::Section;
use vici::Message;

pub(super) fn initiate(call: &Call<'_>) -> Outcome {
    let mut message = Section::default();
    for key in ["child", "ike"] {
        call.copy(key, &mut message);
    }
    logged(call, message)
}

pub(super) fn terminate(call: &Call<'_>) -> Outcome {
    let mut message = selected(call);
    if call.has("force") {
        message.put_bool("force", true);
    }
    logged(call, message)
}

pub(super) fn rekey(call: &Call<'_>) -> Outcome {
    let mut message = selected(call);
    if call.has("reauth") {
        message.put_bool("reauth", true);
    }
    simple(call, "rekey", message)
}

pub(super) fn redirect(call: &Call<'_>) -> Outcome {
    let mut message = Section::default();
    for key in ["ike", "ike-id", "peer-ip", "peer-id", "gateway"] {
        call.copy(key, &mut message);
    }
    simple(call, "redirect", message)
}

pub(super) fn install(call: &Call<'_>) -> Outcome {
    policy(call, "install")
}

pub(super) fn uninstall(call: &Call<'_>) -> Outcome {
    policy(call, "uninstall")
}

fn policy(call: &Call<'_>, command: &str) -> Outcome {
    let mut message = Section::default();
    for key in ["child", "ike"] {
        call.copy(key, &mut message);
    }
    simple(call, command, message)
}

pub(super) fn flush_certs(call: &Call<'_>) -> Outcome {
    let mut message = Section::default();
    call.copy("type", &mut message);
    let answer = call.connect()?.request("flush-certs", message)?;
    call.raw("flush-certs reply", &answer);
    Ok(0)
}

pub(super) fn reload_settings(call: &Call<'_>) -> Outcome {
    let answer = call.connect()?.request("reload-settings", Section::default())?;
    if call.raw("reload-settings reply", &answer) {
        return Ok(0);
    }
    if answer.is_yes("success") {
        return Ok(0);
    }
    Ok(failed("reload-settings", &answer))
}

fn selected(call: &Call<'_>) -> Section {
    let mut message = Section::default();
    for key in ["child", "ike", "child-id", "ike-id"] {
        call.copy(key, &mut message);
    }
    message
}

/// A command that answers at once.
fn simple(call: &Call<'_>, command: &str, message: Section) -> Outcome {
    let answer = call.connect()?.request(command, message)?;
    Ok(concluded(call, command, &answer))
}

/// A command that logs while it works.
fn logged(call: &Call<'_>, mut message: Section) -> Outcome {
    let command = call.command.long;
    if let Some(seconds) = call.value("timeout") {
        let seconds: u64 =
            seconds.parse().map_err(|_| Trouble::Usage(format!("'{seconds}' is no number of seconds")))?;
        message.put("timeout", seconds.saturating_mul(1000));
    }
    message.put("loglevel", call.value("loglevel").unwrap_or("1"));
    let answer = call.connect()?.request_streamed(command, message, "control-log", |event| {
        if !call.raw("log", &event) {
            let (group, msg) =
                (event.text("group").unwrap_or_default(), event.text("msg").unwrap_or_default());
            put!("[{}] {}", clean(group), clean(msg));
        }
    })?;
    Ok(concluded(call, command, &answer))
}

fn concluded(call: &Call<'_>, command: &str, answer: &Section) -> u8 {
    if call.raw(&format!("{command} reply"), answer) {
        return 0;
    }
    if answer.is_yes("success") {
        put!("{command} completed successfully");
        return 0;
    }
    failed(command, answer)
}

pub(super) fn failed(command: &str, answer: &Section) -> u8 {
    complain!("{command} failed: {}", clean(answer.text("errmsg").unwrap_or_default()));
    1
}
