//! `cygnet trace ADDRESS`: the way of a packet through this host.
use super::json;
use crate::args::Trace;
use crate::exit::{FAILED, Failure};
use crate::out::{clean, put, say};
use crate::session::{connect, succeeded};
use config::tree::Section;
use std::process::ExitCode;
use vici::Message;

pub(super) fn run(uri: Option<&str>, args: &Trace) -> Result<ExitCode, Failure> {
    let mut message = Section::default();
    message.put("destination", args.address.as_str());
    let optional = [
        ("source", &args.from),
        ("input", &args.input),
        ("protocol", &args.protocol),
        ("sport", &args.sport),
        ("dport", &args.dport),
        ("mark", &args.mark),
    ];
    for (key, value) in optional {
        if let Some(value) = value {
            message.put(key, value.as_str());
        }
    }
    let answer = connect(uri)?.request("trace", message)?;
    succeeded("trace", &answer)?;
    let dropped = answer.text("verdict") == Some("dropped");
    if args.json {
        let mut document = json::of(&answer);
        if let Some(document) = document.as_object_mut() {
            document.insert("schema".to_owned(), "cygnet.trace/1".into());
        }
        put!("{}", serde_json::to_string_pretty(&document).unwrap_or_default());
    } else {
        for line in lines(&answer) {
            say!("{line}");
        }
    }
    Ok(if dropped { ExitCode::from(FAILED) } else { ExitCode::SUCCESS })
}

fn lines(answer: &Section) -> Vec<String> {
    let part = |section: &Section, key: &str| section.text(key).map(|text| clean(text).into_owned());
    let steps: Vec<(String, String)> = answer
        .child("steps")
        .into_iter()
        .flat_map(|steps| steps.children())
        .map(|(_, step)| (part(step, "what").unwrap_or_default(), part(step, "text").unwrap_or_default()))
        .collect();
    let width = steps.iter().map(|(what, _)| what.len()).max().unwrap_or(0);
    let mut lines: Vec<String> = steps.iter().map(|(what, text)| format!("{what:<width$}  {text}")).collect();
    let names = match (part(answer, "connection"), part(answer, "child")) {
        (Some(connection), Some(child)) => format!(" by CHILD_SA {child} of {connection}"),
        _ => String::new(),
    };
    let word = match answer.text("verdict").unwrap_or_default() {
        "protected" => format!("protected{names}"),
        "waits" => format!("waits{}", names.replacen(" by", " for", 1)),
        "clear" => "not protected".to_owned(),
        "local" => "stays here".to_owned(),
        other => clean(other).into_owned(),
    };
    lines.push(format!("=> {word}: {}", part(answer, "reason").unwrap_or_default()));
    lines.extend(part(answer, "hint").map(|hint| format!("   {hint}")));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_stand_in_columns_and_the_end_says_it_in_words() {
        let mut steps = Section::default();
        for (number, what, text) in
            [("0", "rule", "220: from all lookup 220"), ("1", "outer route", "192.0.2.0/24 dev wan")]
        {
            let mut step = Section::default();
            step.put("what", what).put("text", text);
            steps.put_section(number, step);
        }
        let mut answer = Section::default();
        answer
            .put_bool("success", true)
            .put("verdict", "protected")
            .put("reason", "it leaves by wan, sealed");
        answer.put("connection", "home").put("child", "net{3}").put_section("steps", steps);
        assert_eq!(
            lines(&answer),
            [
                "rule         220: from all lookup 220",
                "outer route  192.0.2.0/24 dev wan",
                "=> protected by CHILD_SA net{3} of home: it leaves by wan, sealed",
            ]
        );
        answer.put("verdict", "waits").put("hint", "a hint");
        let waits = lines(&answer);
        assert!(waits[2].starts_with("=> waits for CHILD_SA net{3} of home"), "{waits:?}");
        assert_eq!(waits[3], "   a hint");
    }
}
