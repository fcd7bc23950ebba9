//! vici messages as JSON: sections become objects, lists arrays, everything else strings.
use config::tree::{Node, Section, Value};
use serde_json::Value as Json;

/// The whole message.
pub(super) fn of(section: &Section) -> Json {
    section
        .entries
        .iter()
        .map(|(name, node)| (name.clone(), of_node(node)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn of_node(node: &Node) -> Json {
    match node {
        Node::Value(value) => text(value),
        Node::List(items) => items.iter().map(text).collect(),
        Node::Section(section) => of(section),
    }
}

/// Text as it is; bytes that are none as 0x hex.
fn text(value: &Value) -> Json {
    match std::str::from_utf8(&value.bytes) {
        Ok(text) => text.into(),
        Err(_) => {
            let hex: String = value.bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("0x{hex}").into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vici::Message;

    #[test]
    fn a_message_keeps_its_shape() {
        let mut inner = Section::default();
        inner.put("b", 1).put_list("c", ["x", "y"]).put_bytes("d", [0xff, 0x00]);
        let mut outer = Section::default();
        outer.put_section("a", inner);
        assert_eq!(of(&outer).to_string(), r#"{"a":{"b":"1","c":["x","y"],"d":"0xff00"}}"#);
    }
}
