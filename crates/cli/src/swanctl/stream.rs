//! `--log` and `--monitor-sa`: print events until interrupted or the daemon ends.
use super::{Call, Outcome, list_sas};
use crate::out::{clean, complain, put};
use vici::{ClientError, Message};

pub(super) fn log(call: &Call<'_>) -> Outcome {
    follow(call, &["log"], |event, message| {
        if !call.raw(event, message) {
            let thread: u32 = message.number("thread").unwrap_or(0);
            let (group, msg) =
                (message.text("group").unwrap_or_default(), message.text("msg").unwrap_or_default());
            put!("{thread:02}[{}] {}", clean(group), clean(msg));
        }
    })
}

pub(super) fn monitor(call: &Call<'_>) -> Outcome {
    follow(call, &["ike-updown", "child-updown"], |event, message| {
        if !call.raw(&format!("{event} event"), message) {
            list_sas::print(message);
        }
    })
}

fn follow(call: &Call<'_>, events: &[&str], mut each: impl FnMut(&str, &config::tree::Section)) -> Outcome {
    let mut client = call.connect()?;
    for event in events {
        client.register(event)?;
    }
    loop {
        match client.next_event(None) {
            Ok(Some((name, message))) => each(&name, &message),
            Ok(None) => {}
            Err(ClientError::Closed) => {
                complain!("disconnecting...");
                return Ok(0);
            }
            Err(error) => return Err(error.into()),
        }
    }
}
