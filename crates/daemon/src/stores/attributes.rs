//! Attributes for clients from `strongswan.conf`.
use crate::conf::Conf;
use policy::attribute;
use wire::ike::ConfigAttr;

/// Attributes that `strongswan.conf` gives to every client; the second part are complaints.
pub(crate) fn global_attributes(conf: &Conf) -> (Vec<ConfigAttr>, Vec<String>) {
    let mut attributes = Vec::new();
    let mut complaints = Vec::new();
    let mut add = |key: &str, name: &str, text: &str| match attribute::find(name) {
        Ok(named) => {
            let items: Vec<&[u8]> =
                text.split(',').map(|item| item.trim().as_bytes()).filter(|item| !item.is_empty()).collect();
            let (more, faults) = named.attributes(&items);
            attributes.extend(more.into_iter().map(ConfigAttr::from));
            complaints.extend(faults.into_iter().map(|(_, error)| format!("{key}: {error}")));
        }
        Err(error) => complaints.push(format!("{key}: {error}")),
    };
    for (key, name) in [("dns1", "dns"), ("dns2", "dns"), ("nbns1", "nbns"), ("nbns2", "nbns")] {
        if let Some(text) = conf.text(key) {
            add(key, name, text);
        }
    }
    if conf.flag("plugins.attr.load", true) {
        for key in conf.keys("plugins.attr").into_iter().filter(|key| *key != "load") {
            let path = format!("plugins.attr.{key}");
            add(&path, key, conf.text(&path).unwrap_or_default());
        }
    }
    (attributes, complaints)
}

/// Adds what is not there yet.
pub(crate) fn add(all: &mut Vec<ConfigAttr>, more: impl IntoIterator<Item = ConfigAttr>) {
    for attribute in more {
        if !all.contains(&attribute) {
            all.push(attribute);
        }
    }
}
