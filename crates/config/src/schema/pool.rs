//! `pools.<name>`.
use super::{Fields, Key, Kind};
use crate::capability::Capabilities;
use crate::report::{Report, closest};
use crate::tree::{Node, Section, Span, Value};
use policy::attribute::{self, AttributeError, Form, KEYWORDS};
use policy::{PoolAttribute, PoolConfig, PoolRange};

/// The keys of a pool. An attribute may have another of its names, or the number of its type, in place of the key.
#[expect(clippy::indexing_slicing, reason = "done by the compiler, which would say so")]
pub const KEYS: &[Key] = &{
    let addrs = Key::new("addrs", Kind::Text("subnet, or from-to"), "", "the addresses to give; required");
    let mut keys = [addrs; KEYWORDS.len() + 1];
    let mut at = 0;
    while at < KEYWORDS.len() {
        let k = KEYWORDS[at];
        at += 1;
        keys[at] = Key::new(k.name, kind(k.form), "", k.help);
    }
    keys
};

/// What to write for an attribute.
const fn kind(form: Form) -> Kind {
    match form {
        Form::Address | Form::Host | Form::Mask | Form::Addresses => Kind::List("addresses"),
        Form::Subnet | Form::UnitySubnet => Kind::List("subnets"),
        Form::Names | Form::Domain => Kind::List("domain names"),
        Form::Number => Kind::Number,
        Form::Text => Kind::Text("text"),
        Form::Octets | Form::Guess => Kind::Text("text, 0x and hexadecimal digits"),
    }
}

/// Reads a pool, from a file or from vici's `load-pool`.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load_pool(name: &str, section: &Section) -> Result<PoolConfig, Vec<Report>> {
    let path = format!("pools.{name}");
    let capabilities = Capabilities::none();
    let known = Section {
        entries: section
            .entries
            .iter()
            .filter(|(key, _)| key.as_str() == "addrs")
            .map(|(k, n)| (k.clone(), n.clone()))
            .collect(),
        ..section.clone()
    };
    let mut f = Fields::new(&path, &known, KEYS, &capabilities);
    let mut range: Option<PoolRange> = None;
    f.set("addrs", &mut range, |t| match t.parse() {
        Ok(range) => Ok(Some(range)),
        Err(_) => Err(format!("`{t}` is no subnet and no range from-to")),
    });
    if !f.has("addrs") {
        f.missing("`addrs` is missing");
    }
    let mut attributes = Vec::new();
    for (key, node) in section.entries.iter().filter(|(key, _)| key.as_str() != "addrs") {
        let place = |value: Span| if value.is_somewhere() { value } else { section.key_span(key) };
        let report =
            |message: String, span: Span| Report::error(message).at(place(span)).key(format!("{path}.{key}"));
        let items = match node {
            Node::List(items) => items.clone(),
            Node::Value(value) => value.split(),
            Node::Section(_) => {
                f.inner::<()>(Err(vec![report("unknown section".into(), Span::NOWHERE)]));
                continue;
            }
        };
        match read(key, &items) {
            Ok(more) => attributes.extend(more),
            Err(faults) => {
                for (at, message, hint) in faults {
                    let mut report = report(message, items.get(at).map_or(Span::NOWHERE, |item| item.span));
                    report.hint = hint;
                    f.inner::<()>(Err(vec![report]));
                }
            }
        }
    }
    match range {
        Some(range) => f.finish(PoolConfig { attributes, ..PoolConfig::new(name, range) }),
        None => f.finish(()).and_then(|()| Err(vec![Report::error("`addrs` is missing").key(path)])),
    }
}

/// Which value is wrong, why, and what to do.
type Wrong = (usize, String, Option<String>);

fn read(key: &str, items: &[Value]) -> Result<Vec<PoolAttribute>, Vec<Wrong>> {
    let named = attribute::find(key).map_err(|error| match error {
        AttributeError::Unknown => {
            let known = closest(key, KEYS.iter().map(|k| k.name));
            vec![(0, "unknown key".into(), known.map(|known| format!("did you mean `{known}`?")))]
        }
        other => vec![(0, other.to_string(), None)],
    })?;
    let values: Vec<&[u8]> = items.iter().map(|item| item.bytes.as_slice()).collect();
    let (all, faults) = named.attributes(&values);
    if faults.is_empty() {
        return Ok(all);
    }
    Err(faults.into_iter().map(|(at, error)| (at, error.to_string(), None)).collect())
}
