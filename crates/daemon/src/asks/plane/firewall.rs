//! A firewall table of our own (`charon.firewall`): what comes out of a tunnel must be what a CHILD_SA allows, and what
//! claims to be from a tunnel must have come through it.
//!
//! The table `inet cygnet` looks at packets before routing and NAT, where addresses are still those that were
//! negotiated, and only ever drops: what it lets pass is for the host's other rules to judge. Who has one address
//! (a road warrior's virtual IP) has a chain of its own that is found by that address, so that many clients cost a
//! packet no more than one; the selectors of networks are gone through in order.
use super::{Ledger, Plane};
use ike::io::Answer;
use linux::nft::program as nft;
use policy::sa::PolicyOnly;
use policy::{ChildSa, Mode, Selector, selector};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;

/// Name of the table.
const TABLE: &str = "inet cygnet";
/// Its comment, by which we know our own.
const OURS: &str = "made by cygnetd, gone with it";

/// Traffic of a CHILD_SA, as it comes to us: from the peer's side to ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Pair {
    from: Selector,
    to: Selector,
    /// What is not from a tunnel and looks like it is dropped. Not so where a mark or an interface id decides what
    /// belongs to the tunnel.
    claimed: bool,
}

/// Where rules stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// In the chain of one address.
    Host(IpAddr),
    /// With those of networks.
    Nets,
    /// With what passes beside tunnels.
    Passes,
}

/// Whose pairs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Owner {
    Child(u32),
    Policy(u32),
}

/// The table, and why it is as it is.
#[derive(Debug)]
pub(crate) struct Firewall {
    /// What tells a packet that came through a tunnel.
    decrypted: String,
    state_file: Option<PathBuf>,
    owners: BTreeMap<Owner, BTreeSet<(Place, Pair)>>,
    /// Users of each rule: generations of a CHILD_SA share them.
    places: BTreeMap<Place, BTreeMap<Pair, usize>>,
}

/// Removes what a predecessor that crashed left, whatever the configuration says now.
pub(crate) fn clean(state_file: Option<&PathBuf>) -> Result<(), String> {
    let Some(file) = state_file.filter(|file| file.exists()) else { return Ok(()) };
    remove_ours()?;
    std::fs::remove_file(file).map_err(|e| format!("{}: {e}", file.display()))
}

fn remove_ours() -> Result<(), String> {
    match nft::table("inet", "cygnet").map_err(said)? {
        None => Ok(()),
        Some(text) if text.contains(OURS) => nft::run(&format!("delete table {TABLE}\n")).map_err(said),
        Some(_) => Err(format!(
            "firewall: there is a table {TABLE} that cygnetd did not make; rename or delete it ('nft delete table {TABLE}')"
        )),
    }
}

fn said(error: linux::Error) -> String {
    format!("firewall: {}", super::chain(&error))
}

impl Firewall {
    /// Makes the table. `device`: that of the userspace data plane; with the kernel's there is none. `ports`: ours for
    /// IKE, where ESP in UDP comes in as well.
    pub(crate) fn start(
        device: Option<&str>,
        ports: [u16; 2],
        state_file: Option<PathBuf>,
    ) -> Result<Self, String> {
        remove_ours()?;
        let decrypted =
            device.map_or_else(|| "meta secpath exists".to_owned(), |name| format!("iifname \"{name}\""));
        if let Some(file) = &state_file {
            // Before the table, so that no crash falls between.
            std::fs::write(file, "table inet cygnet\n")
                .map_err(|e| format!("firewall: {}: {e}", file.display()))?;
        }
        let firewall = Self { decrypted, state_file, owners: BTreeMap::new(), places: BTreeMap::new() };
        nft::run(&firewall.frame(ports)).map_err(said)?;
        Ok(firewall)
    }

    /// The table without CHILD_SAs.
    fn frame(&self, ports: [u16; 2]) -> String {
        let mut ports: Vec<String> = ports.iter().filter(|port| **port != 0).map(u16::to_string).collect();
        ports.dedup();
        let udp = if ports.is_empty() {
            String::new()
        } else {
            format!("    udp dport {{ {} }} return\n", ports.join(", "))
        };
        format!(
            "table {TABLE} {{
  comment \"{OURS}\"
  map host4 {{ type ipv4_addr : verdict; }}
  map host6 {{ type ipv6_addr : verdict; }}
  chain nets {{ }}
  chain passes {{ }}
  chain judge {{
    ip saddr vmap @host4
    ip6 saddr vmap @host6
    jump nets
  }}
  chain prerouting {{
    type filter hook prerouting priority -150; policy accept;
    {decrypted} jump tunnelled
    iif lo return
    meta l4proto {{ esp, ah, comp }} return
    icmpv6 type {{ 133, 134, 135, 136, 137 }} return
{udp}    jump passes
    jump judge
  }}
  chain tunnelled {{
    jump judge
    counter drop
  }}
}}
",
            decrypted = self.decrypted
        )
    }

    /// A CHILD_SA is about to be installed.
    pub(crate) fn allow(&mut self, sa: &ChildSa) -> Result<(), String> {
        let claimed = sa.if_id_in == 0 && sa.mark_in.0 == 0;
        let pairs = pairs(&sa.remote_ts, &sa.local_ts, claimed);
        let placed =
            pairs.map(|pair| (pair.from.host_address().map_or(Place::Nets, Place::Host), pair)).collect();
        self.take(Owner::Child(sa.id), placed)
    }

    /// A policy is about to be installed; those that let traffic pass beside tunnels count here.
    pub(crate) fn pass(&mut self, policy: &PolicyOnly) -> Result<(), String> {
        if policy.config.mode != Mode::Pass {
            return Ok(());
        }
        let pairs = pairs(&policy.remote_ts, &policy.local_ts, false);
        self.take(Owner::Policy(policy.id), pairs.map(|pair| (Place::Passes, pair)).collect())
    }

    fn take(&mut self, owner: Owner, placed: BTreeSet<(Place, Pair)>) -> Result<(), String> {
        let mut touched = BTreeSet::new();
        for (place, pair) in &placed {
            let users = self.places.entry(*place).or_default().entry(*pair).or_default();
            *users = users.saturating_add(1);
            if *users == 1 {
                touched.insert(*place);
            }
        }
        self.owners.insert(owner, placed);
        let written = self.write(&touched);
        if written.is_err() {
            // It will not be installed, and nothing of it was written.
            let _touched = self.release(owner);
        }
        written
    }

    /// A CHILD_SA is gone.
    pub(crate) fn forget_child(&mut self, child: u32) -> Result<(), String> {
        let touched = self.release(Owner::Child(child));
        self.write(&touched)
    }

    /// A policy is gone.
    pub(crate) fn forget_policy(&mut self, id: u32) -> Result<(), String> {
        let touched = self.release(Owner::Policy(id));
        self.write(&touched)
    }

    fn release(&mut self, owner: Owner) -> BTreeSet<Place> {
        let mut touched = BTreeSet::new();
        for (place, pair) in self.owners.remove(&owner).unwrap_or_default() {
            let Some(pairs) = self.places.get_mut(&place) else { continue };
            let Some(users) = pairs.get_mut(&pair) else { continue };
            *users = users.saturating_sub(1);
            if *users == 0 {
                pairs.remove(&pair);
                touched.insert(place);
            }
        }
        touched
    }

    /// Writes these places anew, in one transaction.
    fn write(&mut self, touched: &BTreeSet<Place>) -> Result<(), String> {
        if touched.is_empty() {
            return Ok(());
        }
        let mut commands = String::new();
        for place in touched {
            let empty = BTreeMap::new();
            let pairs = self.places.get(place).unwrap_or(&empty);
            self.place(&mut commands, *place, pairs);
        }
        nft::run(&commands).map_err(said)?;
        self.places.retain(|_, pairs| !pairs.is_empty());
        Ok(())
    }

    fn place(&self, out: &mut String, place: Place, pairs: &BTreeMap<Pair, usize>) {
        let name = match place {
            Place::Nets => "nets".to_owned(),
            Place::Passes => "passes".to_owned(),
            // A name has no colons.
            Place::Host(address) => format!("host_{}", address.to_string().replace(':', "_")),
        };
        let _ = writeln!(out, "add chain {TABLE} {name}\nflush chain {TABLE} {name}");
        let mut rule = |words: &[&str]| {
            let _ = writeln!(out, "add rule {TABLE} {name} {}", words.join(" "));
        };
        for pair in pairs.keys() {
            let tunnelled = if place == Place::Passes { "" } else { &self.decrypted };
            rule(&[tunnelled, &matches(pair), "accept"]);
        }
        // After all that is accepted, which may be within.
        for pair in pairs.keys().filter(|pair| pair.claimed) {
            rule(&[&self.plain(), &matches(pair), "counter drop"]);
        }
        let Place::Host(address) = place else { return };
        let map = if address.is_ipv4() { "host4" } else { "host6" };
        if pairs.is_empty() {
            // To be deleted, it must be there; a client may be gone before it was.
            let element = format!("element {TABLE} {map} {{ {address} : jump {name} }}");
            let _ = writeln!(out, "add {element}\ndelete {element}\ndelete chain {TABLE} {name}");
        } else {
            let _ = writeln!(out, "add element {TABLE} {map} {{ {address} : jump {name} }}");
        }
    }

    /// What tells a packet that did not come through a tunnel.
    fn plain(&self) -> String {
        match self.decrypted.strip_prefix("iifname ") {
            Some(name) => format!("iifname != {name}"),
            None => "meta secpath missing".to_owned(),
        }
    }
}

impl Plane {
    /// Installs a CHILD_SA, with its rules first: no packet of it meets the table without them.
    pub(super) fn install_guarded(&mut self, ledger: &mut Ledger, sa: &ChildSa) -> Answer {
        if let Some(Err(why)) = self.firewall.as_mut().map(|firewall| firewall.allow(sa)) {
            return Answer::Failed(format!("CHILD_SA {}{{{}}}: {why}", sa.config.name, sa.id));
        }
        let answer = self.install(ledger, sa);
        if !matches!(answer, Answer::Done) {
            self.close_firewall(|firewall| firewall.forget_child(sa.id));
        }
        answer
    }

    /// The same for a policy.
    pub(super) fn install_policy_guarded(&mut self, ledger: &mut Ledger, policy: &PolicyOnly) -> Answer {
        if let Some(Err(why)) = self.firewall.as_mut().map(|firewall| firewall.pass(policy)) {
            return Answer::Failed(format!("CHILD_SA {}: {why}", policy.config.name));
        }
        let answer = self.install_policy(ledger, policy);
        if !matches!(answer, Answer::Done) {
            self.close_firewall(|firewall| firewall.forget_policy(policy.id));
        }
        answer
    }

    /// Takes back what the firewall let through, where there is one.
    pub(super) fn close_firewall(&mut self, work: impl FnOnce(&mut Firewall) -> Result<(), String>) {
        if let Some(Err(why)) = self.firewall.as_mut().map(work) {
            self.complain(&why);
        }
    }
}

impl Drop for Firewall {
    fn drop(&mut self) {
        // At the end nobody is left to be told; the next start tries again.
        if remove_ours().is_ok()
            && let Some(file) = &self.state_file
        {
            let _there = std::fs::remove_file(file);
        }
    }
}

fn pairs(from: &[Selector], to: &[Selector], claimed: bool) -> impl Iterator<Item = Pair> {
    from.iter()
        .flat_map(move |from| to.iter().map(move |to| Pair { from: *from, to: *to, claimed }))
        .filter(|pair| pair.from.is_ipv4() == pair.to.is_ipv4())
}

/// A pair in nft's words.
fn matches(pair: &Pair) -> String {
    let family = if pair.from.is_ipv4() { "ip" } else { "ip6" };
    let mut out = String::new();
    for (side, selector) in [("saddr", &pair.from), ("daddr", &pair.to)] {
        if !selector.covers_family() {
            let _ = match selector.host_address() {
                Some(address) => write!(out, "{family} {side} {address} "),
                None => write!(out, "{family} {side} {}-{} ", selector.start, selector.end),
            };
        }
    }
    if out.is_empty() {
        out = format!("meta nfproto {} ", if family == "ip" { "ipv4" } else { "ipv6" });
    }
    let protocol = if pair.from.protocol != 0 { pair.from.protocol } else { pair.to.protocol };
    if protocol == 0 {
        return out;
    }
    let _ = write!(out, "meta l4proto {protocol} ");
    if matches!(protocol, 1 | 58) {
        // Type and code are in the ports of both sides.
        let (first, last) = pair.to.ports;
        if pair.to.ports != selector::ANY_PORT && first <= last {
            let _ = write!(out, "@th,0,16 {first}-{last} ");
        }
        return out;
    }
    for (side, (first, last)) in [("sport", pair.from.ports), ("dport", pair.to.ports)] {
        if (first, last) != selector::ANY_PORT && first <= last {
            let _ = write!(out, "th {side} {first}-{last} ");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selector(start: &str, end: &str, protocol: u8, ports: (u16, u16)) -> Selector {
        Selector { protocol, ports, start: start.parse().unwrap(), end: end.parse().unwrap() }
    }

    #[test]
    fn selectors_in_the_words_of_nft() {
        let any = selector::ANY_PORT;
        let say = |from, to| matches(&Pair { from, to, claimed: true });
        let net = selector("10.1.0.0", "10.1.255.255", 0, any);
        let everything = selector("0.0.0.0", "255.255.255.255", 0, any);
        assert_eq!(
            say(selector("10.3.0.1", "10.3.0.1", 0, any), net),
            "ip saddr 10.3.0.1 ip daddr 10.1.0.0-10.1.255.255 "
        );
        assert_eq!(say(everything, everything), "meta nfproto ipv4 ");
        let web = selector("10.1.0.0", "10.1.255.255", 6, (80, 443));
        assert_eq!(say(everything, web), "ip daddr 10.1.0.0-10.1.255.255 meta l4proto 6 th dport 80-443 ");
        let echo = selector("fd01::", "fd01::ff", 58, (0x8000, 0x8000));
        assert_eq!(
            say(echo, echo),
            "ip6 saddr fd01::-fd01::ff ip6 daddr fd01::-fd01::ff meta l4proto 58 @th,0,16 32768-32768 "
        );
        // RFC 4301: only what has no port to be seen; whichever is looked at, it is one of a fragment.
        let opaque = selector("10.1.0.0", "10.1.255.255", 17, selector::OPAQUE);
        assert_eq!(say(everything, opaque), "ip daddr 10.1.0.0-10.1.255.255 meta l4proto 17 ");
    }
}
