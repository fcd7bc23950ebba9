//! `strongswan.conf` as the daemon reads it: its own section, then `charon`, then `libstrongswan`.
use crate::data_plane::DataPlane;
use config::tree::Section;
use config::{CredentialSettings, DaemonSettings, load_daemon};
use dataplane::Abilities;
use policy::Settings;
use std::sync::Arc;

/// The settings of one daemon: typed where they are plain, by path where they are lists (loggers, plugins).
#[derive(Debug, Clone)]
pub(crate) struct Conf {
    settings: DaemonSettings,
    /// What is wrong with it, and keeps its default.
    pub(crate) warnings: Vec<String>,
}

impl Default for Conf {
    fn default() -> Self {
        Self::new(&Section::default())
    }
}

/// Where a daemon of our name finds its settings.
pub(crate) const SECTIONS: [&str; 3] = ["charon-systemd", "charon", "libstrongswan"];

impl Conf {
    /// The settings of a whole file.
    pub(crate) fn new(root: &Section) -> Self {
        let (settings, warnings) = load_daemon(root, &SECTIONS);
        Self { settings, warnings: warnings.iter().map(ToString::to_string).collect() }
    }

    /// What the engine obeys, with this data plane.
    pub(crate) fn engine(&self, plane: DataPlane, abilities: Abilities) -> Arc<Settings> {
        // As strongSwan's own userspace ESP: in UDP, unless told otherwise.
        let esp_in_udp_only =
            plane == DataPlane::Userspace && !self.flag("plugins.kernel-libipsec.raw_esp", false);
        let plane_ipcomp = abilities.ipcomp;
        Arc::new(Settings { esp_in_udp_only, plane_ipcomp, ..self.settings.engine.clone() })
    }

    /// Routes, virtual IPs, marks, name servers.
    pub(crate) fn network(&self) -> &config::NetworkSettings {
        &self.settings.network
    }

    /// RADIUS servers and what is asked of them.
    pub(crate) fn radius(&self) -> &config::RadiusSettings {
        &self.settings.radius
    }

    /// About certificates, tokens and EAP.
    pub(crate) fn credentials(&self) -> &CredentialSettings {
        &self.settings.credentials
    }

    /// The text of a key, dots between the names.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.settings.section.lookup(key)?.as_text()
    }

    /// The section of that path, as settings of its own.
    pub(crate) fn below(&self, path: &[&str]) -> Option<&Section> {
        path.iter().try_fold(&self.settings.section, |at, name| at.section(name))
    }

    /// A yes or no, in all the words strongSwan takes.
    pub(crate) fn flag(&self, key: &str, default: bool) -> bool {
        self.text(key).and_then(word).unwrap_or(default)
    }

    /// A number.
    pub(crate) fn number<N: std::str::FromStr>(&self, key: &str, default: N) -> N {
        self.text(key).and_then(|text| text.trim().parse().ok()).unwrap_or(default)
    }

    /// Whether a plugin's work is wanted: as its own `load` says (a number is a priority), else because `load` names it.
    pub(crate) fn loads(&self, plugin: &str, default: bool) -> bool {
        match self.text(&format!("plugins.{plugin}.load")).map(str::trim) {
            Some(text) => word(text).unwrap_or_else(|| text.parse().is_ok_and(|priority: i64| priority > 0)),
            None => {
                let listed = self.text("load").unwrap_or_default();
                default || listed.split_whitespace().any(|name| name.trim_end_matches('!') == plugin)
            }
        }
    }

    /// Names of the values below `key`, in order.
    pub(crate) fn keys(&self, key: &str) -> Vec<&str> {
        let holder = self.settings.section.lookup_section(key);
        holder.into_iter().flat_map(Section::values).map(|(name, _)| name).collect()
    }
}

/// strongSwan's words for yes and no.
pub(crate) fn word(text: &str) -> Option<bool> {
    match text.trim() {
        "1" | "yes" | "true" | "enabled" => Some(true),
        "0" | "no" | "false" | "disabled" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vici::Message;

    #[test]
    fn the_daemons_own_section_wins_over_charon() {
        let mut root = Section::default();
        let mut charon = Section::default();
        charon.put("port", "500");
        charon.put("install_routes", "no");
        let mut plugins = Section::default();
        let mut vici_section = Section::default();
        vici_section.put("socket", "unix:///a");
        plugins.put_section("vici", vici_section);
        charon.put_section("plugins", plugins);
        let mut own = Section::default();
        own.put("port", "0");
        root.put_section("charon", charon);
        root.put_section("charon-systemd", own);
        let conf = Conf::new(&root);
        assert_eq!(conf.number("port", 1u16), 0);
        assert!(!conf.flag("install_routes", true));
        assert_eq!(conf.text("plugins.vici.socket"), Some("unix:///a"));
        assert_eq!(conf.keys("plugins.vici"), ["socket"]);
        assert_eq!(conf.text("plugins.nix.socket"), None);
    }

    #[test]
    fn plugins_are_loaded_by_their_key_or_by_the_list() {
        let conf = |list: &str, key: Option<&str>| {
            let (mut root, mut charon) = (Section::default(), Section::default());
            charon.put("load", list);
            if let Some(key) = key {
                let (mut plugins, mut farp) = (Section::default(), Section::default());
                farp.put("load", key);
                plugins.put_section("farp", farp);
                charon.put_section("plugins", plugins);
            }
            root.put_section("charon", charon);
            Conf::new(&root).loads("farp", false)
        };
        assert!(conf("vici farp dhcp", None) && conf("vici farp!", None) && !conf("vici", None));
        assert!(conf("vici", Some("yes")) && conf("vici", Some("10")));
        assert!(!conf("farp", Some("no")) && !conf("farp", Some("0")) && !conf("farp", Some("-5")));
    }
}
