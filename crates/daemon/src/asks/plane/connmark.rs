//! strongSwan's connmark plugin: of several hosts behind one NAT, each has its answers by its own SA. That is for
//! CHILD_SAs in transport mode whose marks are drawn for them.
use super::{Ledger, Plane, chain};
use linux::nft::returns::{Return, Returns};
use policy::{ChildSa, MarkValue, Mode};
use std::net::SocketAddr;

/// What the firewall is to know of a CHILD_SA, if anything.
fn of(sa: &ChildSa) -> Result<Option<Return>, String> {
    let (mark_in, mark_out) = (sa.config.mark_in, sa.config.mark_out);
    let unique = |value| matches!(value, MarkValue::Unique | MarkValue::UniqueDir);
    if sa.mode != Mode::Transport || !unique(mark_in.value) || !unique(mark_out.value) {
        return Ok(None);
    }
    if (mark_in.mask, mark_out.mask) != (u32::MAX, u32::MAX) {
        return Err("plugins.connmark takes unique marks without a mask only".to_owned());
    }
    let port = sa.encap.then(|| sa.local.port());
    let (mark_in, mark_out) = (sa.mark_in.0, sa.mark_out.0);
    Ok(Some(Return { local: sa.local.ip(), spi: sa.spi_in, port, mark_in, mark_out }))
}

impl Plane {
    /// Has the answers to what comes by this CHILD_SA marked, where that is wanted; what was told to the firewall.
    pub(super) fn mark_answers(&mut self, sa: &ChildSa) -> Result<Option<Return>, String> {
        let Some(returns) = &mut self.returns else { return Ok(None) };
        let named = |why: String| format!("CHILD_SA {}{{{}}}: {why}", sa.config.name, sa.id);
        let Some(wanted) = of(sa).map_err(named)? else { return Ok(None) };
        returns.add(wanted).map_err(|e| named(format!("plugins.connmark: {}", chain(&e))))?;
        Ok(Some(wanted))
    }

    /// The CHILD_SA is gone.
    pub(super) fn forget_answers(&mut self, gone: Option<Return>) {
        if let (Some(returns), Some(gone)) = (&mut self.returns, gone)
            && let Err(e) = returns.remove(&gone)
        {
            let text = format!("plugins.connmark: {}", chain(&e));
            self.complain(&text);
        }
    }

    /// Our end is elsewhere.
    pub(super) fn move_answers(&mut self, ledger: &mut Ledger, child: u32, local: SocketAddr, encap: bool) {
        let Some(held) = ledger.children.get_mut(&child) else { return };
        let Some(old) = held.answers.as_deref().copied() else { return };
        let new = Return { local: local.ip(), port: encap.then(|| local.port()), ..old };
        let Some(returns) = self.returns.as_mut().filter(|_| new != old) else { return };
        match returns.add(new) {
            Ok(()) => {
                held.answers = Some(Box::new(new));
                self.forget_answers(Some(old));
            }
            Err(e) => {
                let text = format!("CHILD_SA {child}: plugins.connmark: {}", chain(&e));
                self.complain(&text);
            }
        }
    }

    /// Somebody may have taken the firewall's rules away.
    pub(super) fn look_after_answers(&mut self) {
        match self.returns.as_mut().map(Returns::refresh) {
            None | Some(Ok(false)) => {}
            Some(Ok(true)) => {
                self.complain("plugins.connmark: the firewall lost our table, it is made again")
            }
            Some(Err(e)) => {
                let text = format!("plugins.connmark: {}", chain(&e));
                self.complain(&text);
            }
        }
    }
}
