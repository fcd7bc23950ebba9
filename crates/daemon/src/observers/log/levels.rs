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
        level <= self.of(group)
    }

    /// The level of one group.
    fn of(&self, group: Group) -> i8 {
        self.groups.get(&group).copied().unwrap_or(self.default)
    }
}

/// The highest levels that anybody wants, of every group: 4 bits for each, the level and one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Loudest(pub(super) u64);

impl Loudest {
    /// Of all these.
    pub(super) fn of_all<'a>(all: impl Iterator<Item = &'a Levels>) -> Self {
        let mut loudest = Self::default();
        for levels in all {
            for (group, _) in GROUPS {
                loudest.raise(group, levels.of(group));
            }
        }
        loudest
    }

    /// Lines of all groups up to this level are wanted, too.
    pub(super) fn at_least(mut self, level: i8) -> Self {
        for (group, _) in GROUPS {
            self.raise(group, level);
        }
        self
    }

    fn raise(&mut self, group: Group, level: i8) {
        if level > self.level(group) {
            let shift = Self::shift(group);
            let bits = u64::from(level.clamp(-1, 14).saturating_add(1).unsigned_abs());
            self.0 = (self.0 & !(0xf_u64 << shift)) | (bits << shift);
        }
    }

    /// All groups.
    pub(crate) fn groups(self) -> impl Iterator<Item = Group> {
        GROUPS.into_iter().map(|(group, _)| group)
    }

    /// The highest level wanted of a group; -1 for none.
    pub(crate) fn level(self, group: Group) -> i8 {
        let bits = (self.0 >> Self::shift(group)) & 0xf;
        i8::try_from(bits).unwrap_or_default().saturating_sub(1)
    }

    fn shift(group: Group) -> u32 {
        let place = GROUPS.iter().position(|(known, _)| *known == group).unwrap_or_default();
        u32::try_from(place).unwrap_or_default().saturating_mul(4)
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
        let other = Levels::new(-1);
        let both = Loudest::of_all([&levels, &other].into_iter());
        assert_eq!([Group::Ike, Group::Net, Group::Cfg].map(|group| both.level(group)), [3, -1, 1]);
        let heard = both.at_least(2);
        assert_eq!([Group::Ike, Group::Net, Group::Cfg].map(|group| heard.level(group)), [3, 2, 2]);
        assert_eq!(Loudest::of_all([].into_iter()).level(Group::Tls), -1);
    }
}
