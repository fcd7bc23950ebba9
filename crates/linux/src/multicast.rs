//! Membership in multicast groups of IPv6: the kernel tells switches and cards about it, and forgets it with the socket.

use crate::{Attempt, Result};
use socket2::{Domain, Protocol, Socket, Type};
use std::collections::BTreeSet;
use std::net::Ipv6Addr;

/// Groups of one socket: the kernel accounts their memory by socket.
const PER_SOCKET: usize = 64;
/// Groups altogether; more are refused.
const MOST: usize = 4096;

/// A group on an interface (its index).
pub type Membership = (u32, Ipv6Addr);

/// Groups we belong to.
#[derive(Debug, Default)]
pub struct Groups {
    sockets: Vec<(Socket, BTreeSet<Membership>)>,
}

impl Groups {
    /// Belongs to these and no others. Goes on after an error.
    ///
    /// # Errors
    /// The first of the system's; too many.
    pub fn set(&mut self, wanted: &BTreeSet<Membership>) -> Result<()> {
        let mut result = Ok(());
        for (socket, held) in &mut self.sockets {
            held.retain(|membership| {
                let keep = wanted.contains(membership);
                if !keep {
                    let (interface, group) = membership;
                    // The interface may be gone, and the membership with it.
                    let _gone = socket.leave_multicast_v6(group, *interface);
                }
                keep
            });
        }
        self.sockets.retain(|(_, held)| !held.is_empty());
        for membership in wanted {
            if !self.sockets.iter().any(|(_, held)| held.contains(membership)) {
                result = result.and(self.join(*membership));
            }
        }
        result
    }

    fn join(&mut self, (interface, group): Membership) -> Result<()> {
        let what = || format!("joining {group} on interface {interface}");
        let held: usize = self.sockets.iter().map(|(_, held)| held.len()).sum();
        if held >= MOST {
            return Err(std::io::Error::from(std::io::ErrorKind::QuotaExceeded)).attempt(what);
        }
        if !self.sockets.iter().any(|(_, held)| held.len() < PER_SOCKET) {
            let socket = Socket::new(Domain::IPV6, Type::DGRAM, Some(Protocol::UDP)).attempt(what)?;
            socket.set_cloexec(true).attempt(what)?;
            self.sockets.push((socket, BTreeSet::new()));
        }
        if let Some((socket, held)) = self.sockets.iter_mut().find(|(_, held)| held.len() < PER_SOCKET) {
            socket.join_multicast_v6(&group, interface).attempt(what)?;
            held.insert((interface, group));
        }
        Ok(())
    }
}
