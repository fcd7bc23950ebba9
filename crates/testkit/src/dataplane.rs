//! A data plane that carries nothing but checks every order it gets.
use policy::ChildSa;
use policy::sa::{PolicyOnly, SaKeys, Usage};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use wire::iana::ProtocolId;

/// Traffic keys ever installed in a world. A key protects one SA: one sender, one receiver, once.
#[derive(Debug, Default)]
pub struct Ledger {
    used: BTreeSet<(Vec<u8>, bool)>,
    owners: BTreeMap<Vec<u8>, usize>,
}

impl Ledger {
    fn enter(&mut self, host: usize, key: &[u8], outbound: bool) -> Result<(), String> {
        if key.len() < 8 || key.iter().all(|b| *b == 0) {
            return Err(format!("a traffic key of {} bytes that is no key", key.len()));
        }
        if !self.used.insert((key.to_vec(), outbound)) {
            return Err("a traffic key is used twice".to_owned());
        }
        match self.owners.insert(key.to_vec(), host) {
            Some(other) if other == host => Err("a traffic key is used in both directions".to_owned()),
            _ => Ok(()),
        }
    }
}

/// A CHILD_SA at work.
#[derive(Debug, Clone)]
pub struct Installed {
    /// As ordered; addresses are kept up to date.
    pub sa: ChildSa,
    /// May send.
    pub sending: bool,
    /// Counters, in and out.
    pub usage: (Usage, Usage),
}

/// See the head of the file.
#[derive(Debug, Default)]
pub struct FakeDataplane {
    /// CHILD_SAs by id.
    pub children: BTreeMap<u32, Installed>,
    /// Traps and shunts by id.
    pub policies: BTreeMap<u32, PolicyOnly>,
    known: BTreeSet<u32>,
}

impl FakeDataplane {
    /// `Ask::InstallChild`.
    pub fn install(&mut self, host: usize, ledger: &mut Ledger, sa: &ChildSa) -> Result<(), String> {
        if !self.known.insert(sa.id) {
            return Err(format!("CHILD_SA id {} is given twice", sa.id));
        }
        if sa.spi_in < 256 || sa.spi_out < 256 {
            return Err(format!("reserved SPI in {:08x}_i {:08x}_o", sa.spi_in, sa.spi_out));
        }
        if self.children.values().any(|c| c.sa.spi_in == sa.spi_in) {
            return Err(format!("inbound SPI {:08x} is in use", sa.spi_in));
        }
        if (sa.cpi_in == 0) != (sa.cpi_out == 0) || (1..256).contains(&sa.cpi_in.min(sa.cpi_out)) {
            return Err(format!("CPIs {:04x}_i {:04x}_o", sa.cpi_in, sa.cpi_out));
        }
        if sa.cpi_in != 0 && self.children.values().any(|c| c.sa.cpi_in == sa.cpi_in) {
            return Err(format!("inbound CPI {:04x} is in use", sa.cpi_in));
        }
        if sa.local_ts.is_empty() || sa.remote_ts.is_empty() {
            return Err("a CHILD_SA without selectors".to_owned());
        }
        if let Some(old) = sa.replaces {
            if !self.known.contains(&old) {
                return Err(format!("replaces CHILD_SA {old}, which never was"));
            }
            if let Some(old) = self.children.get(&old)
                && old.sa.reqid != sa.reqid
            {
                return Err(format!("rekeying changed reqid {} to {}", old.sa.reqid, sa.reqid));
            }
        }
        let key = |keys: &SaKeys| {
            if sa.protocol == ProtocolId::Ah { keys.integ.clone() } else { keys.encr.clone() }
        };
        ledger.enter(host, key(&sa.keys_in).as_slice(), false)?;
        ledger.enter(host, key(&sa.keys_out).as_slice(), true)?;
        let sending = !sa.inbound_only;
        self.children.insert(sa.id, Installed { sa: sa.clone(), sending, usage: Default::default() });
        Ok(())
    }

    /// `Ask::ActivateOutbound`.
    pub fn activate(&mut self, child: u32) -> Result<(), String> {
        let installed = self.children.get_mut(&child).ok_or(format!("activates unknown CHILD_SA {child}"))?;
        if installed.sending {
            return Err(format!("activates CHILD_SA {child}, which sends already"));
        }
        installed.sending = true;
        Ok(())
    }

    /// `Ask::UpdateChild`.
    pub fn update(
        &mut self,
        child: u32,
        local: SocketAddr,
        remote: SocketAddr,
        encap: bool,
    ) -> Result<(), String> {
        let installed = self.children.get_mut(&child).ok_or(format!("updates unknown CHILD_SA {child}"))?;
        installed.sa.local = local;
        installed.sa.remote = remote;
        installed.sa.encap = encap;
        Ok(())
    }

    /// `Ask::RemoveChild`; gives the last counters, in and out.
    pub fn remove(&mut self, child: u32) -> Result<(Usage, Usage), String> {
        let installed = self.children.remove(&child).ok_or(format!("removes unknown CHILD_SA {child}"))?;
        Ok(installed.usage)
    }

    /// `Ask::InstallPolicy`.
    pub fn install_policy(&mut self, policy: &PolicyOnly) -> Result<(), String> {
        match self.policies.insert(policy.id, policy.clone()) {
            Some(_) => Err(format!("policy {} is installed twice", policy.id)),
            None => Ok(()),
        }
    }

    /// `Ask::RemovePolicy`.
    pub fn remove_policy(&mut self, id: u32) -> Result<(), String> {
        self.policies.remove(&id).map(|_| ()).ok_or(format!("removes unknown policy {id}"))
    }

    /// What a restarted daemon does with what its predecessor left: only `keep` stays, other ids may be given anew.
    pub fn retain(&mut self, keep: &BTreeSet<u32>) {
        self.children.retain(|id, _| keep.contains(id));
        self.known = self.children.keys().copied().collect();
    }
}
