//! Values that many keys share. Errors say what was expected.
use policy::{Action, Identity, Mark, MarkValue};

/// yes, true, enabled, 1; no, false, disabled, 0.
///
/// # Errors
/// Anything else.
pub fn flag(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "true" | "enabled" | "1" => Ok(true),
        "no" | "false" | "disabled" | "0" => Ok(false),
        _ => Err(format!("`{text}` is neither yes nor no")),
    }
}

/// A decimal number, or a hexadecimal one after `0x`.
///
/// # Errors
/// Anything else, or a number that does not fit.
pub fn number<N: TryFrom<u64>>(text: &str) -> Result<N, String> {
    let parsed = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) if !digits.starts_with('+') => u64::from_str_radix(digits, 16).ok(),
        Some(_) => None,
        None if text.starts_with('+') => None,
        None => text.parse().ok(),
    };
    let number = parsed.ok_or_else(|| format!("`{text}` is no number"))?;
    N::try_from(number).map_err(|_| format!("{text} is too large"))
}

/// Seconds, or a number with s, m, h or d.
///
/// # Errors
/// Anything else.
pub fn time(text: &str) -> Result<u64, String> {
    let bad = || format!("`{text}` is no time: a number of seconds, or with s, m, h or d behind it");
    let (digits, unit) = match text.char_indices().next_back() {
        // A hexadecimal number may end with d.
        Some((at, 'd')) if !text.starts_with("0x") => (text.get(..at), 86_400),
        Some((at, 'h')) => (text.get(..at), 3_600),
        Some((at, 'm')) => (text.get(..at), 60),
        Some((at, 's')) => (text.get(..at), 1),
        _ => (Some(text), 1),
    };
    let count: u64 = digits.and_then(|d| number(d.trim_end()).ok()).ok_or_else(bad)?;
    count.checked_mul(unit).ok_or_else(|| format!("{text} is too large"))
}

/// As [`time`], for a value that may be left open.
///
/// # Errors
/// As [`time`].
pub fn some_time(text: &str) -> Result<Option<u64>, String> {
    time(text).map(Some)
}

/// As [`number`], for a value that may be left open.
///
/// # Errors
/// As [`number`].
pub fn some_number(text: &str) -> Result<Option<u64>, String> {
    number(text).map(Some)
}

/// One of the words of a table.
///
/// # Errors
/// Anything else; the error lists the words.
pub fn word<T: Clone>(text: &str, table: &[(&str, T)]) -> Result<T, String> {
    match table.iter().find(|(word, _)| word.eq_ignore_ascii_case(text)) {
        Some((_, value)) => Ok(value.clone()),
        None => {
            let words: Vec<&str> = table.iter().map(|(word, _)| *word).collect();
            Err(format!("`{text}` is none of {}", words.join(", ")))
        }
    }
}

/// Actions joined by `|`: start (restart), trap (route), none (clear).
///
/// # Errors
/// Other words.
pub fn action(text: &str) -> Result<Action, String> {
    let mut out = Action::default();
    for part in text.split('|') {
        match part.trim() {
            "start" | "restart" => out.start = true,
            "trap" | "route" => out.trap = true,
            "none" | "clear" => {}
            other => return Err(format!("`{other}` is none of none, trap, start (clear, route, restart)")),
        }
    }
    Ok(out)
}

/// `value[/mask]`, `%unique` or `%unique-dir`; `%same` where `same`.
///
/// # Errors
/// Anything else.
pub fn mark(text: &str, same: bool) -> Result<Mark, String> {
    let (value, mask) = match text.split_once('/') {
        Some((value, mask)) => (value.trim(), number::<u32>(mask.trim())?),
        None => (text, u32::MAX),
    };
    let value = match value {
        "%unique" => MarkValue::Unique,
        "%unique-dir" => MarkValue::UniqueDir,
        "%same" if same => MarkValue::Same,
        other => match number::<u32>(other)? {
            0 => return Ok(Mark::NONE),
            n => MarkValue::Fixed(n),
        },
    };
    if let (MarkValue::Fixed(n), false) = (value, same) {
        within(n, mask)?;
    }
    Ok(Mark { value, mask })
}

/// A mark that packets can have.
///
/// # Errors
/// It has bits that its mask has not: the kernel finds it on no packet.
pub fn within(value: u32, mask: u32) -> Result<(), String> {
    match value & !mask {
        0 => Ok(()),
        _ => Err(format!("no packet has the mark {value:#x}/{mask:#x}: the mask lacks some of its bits")),
    }
}

/// A number, `%unique` or `%unique-dir`.
///
/// # Errors
/// Anything else.
pub fn interface_id(text: &str) -> Result<MarkValue, String> {
    match text {
        "%unique" => Ok(MarkValue::Unique),
        "%unique-dir" => Ok(MarkValue::UniqueDir),
        other => match number::<u32>(other)? {
            0 => Ok(MarkValue::None),
            n => Ok(MarkValue::Fixed(n)),
        },
    }
}

/// Six binary digits.
///
/// # Errors
/// Anything else.
pub fn dscp(text: &str) -> Result<u8, String> {
    let digits = text.len() == 6 && text.bytes().all(|b| matches!(b, b'0' | b'1'));
    match u8::from_str_radix(text, 2) {
        Ok(value) if digits => Ok(value),
        _ => Err(format!("`{text}` is no DSCP: six binary digits, like 101110")),
    }
}

/// An identity.
///
/// # Errors
/// As [`Identity::parse`].
pub fn identity(text: &str) -> Result<Option<Identity>, String> {
    // What is left of `@#0102` and `keyid:#0102` when nobody quotes them.
    if text == "@" || (text.ends_with(':') && text.parse::<std::net::Ipv6Addr>().is_err()) {
        return Err(format!("`{text}` is no identity; a `#` begins a comment unless the text is in quotes"));
    }
    Identity::parse(text).map(Some).map_err(|e| e.to_string())
}

/// The text itself; nothing for none.
///
/// # Errors
/// Never.
pub fn text(text: &str) -> Result<Option<String>, String> {
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

/// One of these words, as text.
///
/// # Errors
/// Anything else.
pub fn one_of(text: &str, words: &[&str]) -> Result<String, String> {
    let table: Vec<(&str, &str)> = words.iter().map(|w| (*w, *w)).collect();
    word(text, &table).map(str::to_owned)
}

/// A list item as it is.
///
/// # Errors
/// Never.
pub fn item(text: &str) -> Result<Vec<String>, String> {
    Ok(vec![text.to_owned()])
}

/// A CKA_ID in hexadecimal digits; colons and a leading `0x` do not matter.
///
/// # Errors
/// Anything else.
pub fn handle(text: &str) -> Result<Vec<u8>, String> {
    let bad = || format!("`{text}` is no handle: an even number of hexadecimal digits");
    let plain: String = text.strip_prefix("0x").unwrap_or(text).split(':').collect();
    if plain.is_empty() {
        return Err(bad());
    }
    policy::secrets::decode_secret(format!("0x{plain}").as_bytes()).map_err(|_| bad())
}
