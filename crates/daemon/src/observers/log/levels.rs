//! Which groups are logged up to which level.
use ike::io::Group;
use std::collections::BTreeMap;

/// Levels of one sink: a default and exceptions by group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Levels {
    default: i8,
    groups: BTreeMap<Group, i8>,
}

/// All groups the daemon speaks in, with the name used in configuration.
const GROUPS: [(Group, &str); 14] = [
    (Group::App, "app"),
    (Group::Asn, "asn"),
    (Group::Cfg, "cfg"),
    (Group::Chd, "chd"),
    (Group::Dmn, "dmn"),
    (Group::Enc, "enc"),
    (Group::Esp, "esp"),
    (Group::Ike, "ike"),
    (Group::Job, "job"),
    (Group::Knl, "knl"),
    (Group::Lib, "lib"),
    (Group::Mgr, "mgr"),
    (Group::Net, "net"),
    (Group::Tls, "tls"),
];

/// Groups that charon knows and we never use: valid in a configuration, without effect.
const SILENT: [&str; 6] = ["imc", "imv", "pts", "tnc", "wch", "any"];

impl Levels {
    /// Everything up to `default`.
    pub(crate) fn new(default: i8) -> Self {
        Self { default, groups: BTreeMap::new() }
    }

    /// Sets the level of the group called `name`; false when there is no such group.
    pub(crate) fn set(&mut self, name: &str, level: i8) -> bool {
        if name == "any" {
            self.default = level;
            return true;
        }
        match GROUPS.iter().find(|(_, known)| *known == name) {
            Some((group, _)) => {
                self.groups.insert(*group, level);
                true
            }
            None => SILENT.contains(&name),
        }
    }

    /// Whether a line is wanted.
    pub(crate) fn wants(&self, group: Group, level: i8) -> bool {
        level <= self.groups.get(&group).copied().unwrap_or(self.default)
    }

    /// The highest level wanted of any group.
    pub(crate) fn loudest(&self) -> i8 {
        self.groups.values().copied().max().unwrap_or(self.default).max(self.default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_overrides_the_default() {
        let mut levels = Levels::new(1);
        assert!(levels.set("ike", 3));
        assert!(levels.set("net", -1));
        assert!(levels.set("tnc", 4));
        assert!(!levels.set("nix", 1));
        assert!(levels.wants(Group::Ike, 3));
        assert!(!levels.wants(Group::Net, 0));
        assert!(levels.wants(Group::Cfg, 1));
        assert!(!levels.wants(Group::Cfg, 2));
        assert_eq!(levels.loudest(), 3);
    }
}
