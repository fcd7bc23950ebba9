//! Rules: which table is asked for which packets.
use super::{Netlink, tolerate};
use crate::{Attempt, Result};
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleFlags, RuleMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use serde::{Deserialize, Serialize};

/// `from all [[not] fwmark VALUE/MASK] lookup TABLE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Rule {
    /// IPv6, else IPv4.
    pub v6: bool,
    /// Position; lower is asked first.
    pub priority: u32,
    /// The table to ask.
    pub table: u32,
    /// Mark and mask to compare with.
    pub mark: Option<(u32, u32)>,
    /// The rule holds for packets that do *not* match the mark.
    pub invert: bool,
}

impl Rule {
    fn message(&self) -> RuleMessage {
        let mut message = RuleMessage::default();
        message.header.family = if self.v6 { AddressFamily::Inet6 } else { AddressFamily::Inet };
        // Without an action every lookup that reaches the rule fails with EINVAL.
        message.header.action = RuleAction::ToTable;
        match u8::try_from(self.table) {
            Ok(table) => message.header.table = table,
            Err(_) => message.attributes.push(RuleAttribute::Table(self.table)),
        }
        message.attributes.push(RuleAttribute::Priority(self.priority));
        if let Some((value, mask)) = self.mark {
            message.attributes.push(RuleAttribute::FwMark(value));
            message.attributes.push(RuleAttribute::FwMask(mask));
        }
        if self.invert {
            message.header.flags |= RuleFlags::Invert;
        }
        message
    }

    fn parse(message: &RuleMessage) -> Option<Self> {
        if message.header.action != RuleAction::ToTable {
            return None;
        }
        let mut rule = Self {
            v6: message.header.family == AddressFamily::Inet6,
            priority: 0,
            table: u32::from(message.header.table),
            mark: None,
            invert: message.header.flags.contains(RuleFlags::Invert),
        };
        let (mut value, mut mask) = (None, None);
        for attribute in &message.attributes {
            match attribute {
                RuleAttribute::Priority(p) => rule.priority = *p,
                RuleAttribute::Table(t) => rule.table = *t,
                RuleAttribute::FwMark(v) => value = Some(*v),
                RuleAttribute::FwMask(m) => mask = Some(*m),
                _ => {}
            }
        }
        // the kernel reports a mask of 0 where there is no mark
        rule.mark = match (value, mask) {
            (Some(v), m) => Some((v, m.unwrap_or(u32::MAX))),
            (None, Some(m)) if m != 0 => Some((0, m)),
            _ => None,
        };
        Some(rule)
    }
}

impl Netlink {
    /// All rules that ask a table, of one family.
    ///
    /// # Errors
    /// The system's.
    pub fn rules(&mut self, v6: bool) -> Result<Vec<Rule>> {
        let mut message = RuleMessage::default();
        message.header.family = if v6 { AddressFamily::Inet6 } else { AddressFamily::Inet };
        let all = self.dump(RouteNetlinkMessage::GetRule(message)).attempt(|| "listing rules".to_owned())?;
        Ok(all
            .iter()
            .filter_map(|m| match m {
                RouteNetlinkMessage::NewRule(rule) => Rule::parse(rule),
                _ => None,
            })
            .collect())
    }

    /// Adds a rule.
    ///
    /// # Errors
    /// The system's. A rule that is there already is no error; the answer is whether it was added.
    pub fn add_rule(&mut self, rule: &Rule) -> Result<bool> {
        let result = self
            .change(RouteNetlinkMessage::NewRule(rule.message()), NLM_F_CREATE | NLM_F_EXCL)
            .attempt(|| format!("adding {rule:?}"));
        tolerate(result, &[libc::EEXIST])
    }

    /// Removes a rule.
    ///
    /// # Errors
    /// The system's. A rule that is gone is no error; the answer is whether it was there.
    pub fn delete_rule(&mut self, rule: &Rule) -> Result<bool> {
        let result = self
            .change(RouteNetlinkMessage::DelRule(rule.message()), 0)
            .attempt(|| format!("removing {rule:?}"));
        tolerate(result, &[libc::ENOENT])
    }
}
