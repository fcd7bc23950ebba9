//! Commands: what operators and the rest of the daemon want.
use crate::chore::{Chore, Deed};
use crate::commands::Want;
use crate::core::{Core, Start, StartChild};
use crate::engine::Engine;
use crate::io::{Command, CommandId, Event, Filter};
use crate::sa::IkeSa;
use crate::v2::{self, Job, close, enqueue, init, liveness, mobike, timers};
use crate::{child, trap};
use policy::{Child, Connection};
use std::net::SocketAddr;
use std::sync::Arc;

impl Engine {
    pub(crate) fn obey(&mut self, c: Command) {
        match c {
            Command::Initiate { id, ike, child } => {
                self.initiate_by_name(id, ike.as_deref(), child.as_deref())
            }
            Command::Terminate { id, filter, force } => self.seek(id, filter, Deed::Terminate { force }),
            Command::Rekey { id, filter, reauth } => self.seek(id, filter, Deed::Rekey { reauth }),
            Command::Install { id, ike, child } => self.install(id, ike.as_deref(), &child),
            Command::Uninstall { id, ike, child } => self.uninstall(id, ike.as_deref(), &child),
            Command::Reload { snapshot, start_actions } => self.reload(snapshot, &start_actions),
            Command::Shutdown { id } => self.shutdown(id),
            Command::Acquire { trap, packet } => self.acquire(trap, packet),
            Command::Expire { child, hard } => {
                self.with_child(child, |core, sa| timers::expire(core, sa, child, hard));
            }
            Command::Mapping { child, remote } => {
                self.with_child(child, |core, sa| mapping(core, sa, remote));
            }
            Command::Traffic { child, usage_in, usage_out } => {
                self.with_child(child, |core, sa| traffic(core, sa, child, usage_in, usage_out));
            }
            Command::Limit { id, filter, seconds } => self.limit(id, &filter, seconds),
            Command::AddressesChanged => self.set_about(self.core.table.ids(), Chore::AddressesChanged),
            Command::Adopt { state } => self.adopt(*state),
        }
    }

    /// Bounds the time until reauthentication; `matches` counts the IKE_SAs.
    fn limit(&mut self, id: CommandId, filter: &Filter, seconds: u64) {
        let ids: Vec<u32> = self.matching(filter).map(|sa| sa.id).collect();
        let count = u32::try_from(ids.len()).unwrap_or(u32::MAX);
        self.set_about(ids, Chore::ReauthenticateWithin(seconds));
        self.core.done(id, count, count, None);
    }

    pub(crate) fn with_child(&mut self, child: u32, f: impl FnOnce(&mut Core, &mut IkeSa)) {
        if let Some(ike) = self.core.table.of_child(child) {
            self.touch(ike, f);
        }
    }

    /// The connection and child that names stand for.
    pub(crate) fn find(
        &self,
        ike: Option<&str>,
        child: Option<&str>,
    ) -> Result<(Arc<Connection>, Option<Arc<Child>>), String> {
        let mut found_conn = false;
        for conn in &self.core.snapshot.connections {
            if ike.is_some_and(|n| n != conn.name) {
                continue;
            }
            found_conn = true;
            let Some(name) = child else {
                if ike.is_some() {
                    return Ok((Arc::clone(conn), None));
                }
                continue;
            };
            if let Some(c) = conn.children.iter().find(|c| c.name == name) {
                return Ok((Arc::clone(conn), Some(Arc::clone(c))));
            }
        }
        Err(match (ike, child, found_conn) {
            (Some(i), None, _) => format!("IKE_SA config '{i}' not found"),
            (_, Some(c), _) => format!("CHILD_SA config '{c}' not found"),
            (None, None, _) => "missing config name".to_owned(),
        })
    }

    fn initiate_by_name(&mut self, id: CommandId, ike: Option<&str>, child: Option<&str>) {
        match self.find(ike, child) {
            Ok((conn, child)) => {
                if let Some(c) =
                    child.as_ref().filter(|c| matches!(c.mode, policy::Mode::Pass | policy::Mode::Drop))
                {
                    let why = format!("CHILD_SA config '{}' is a shunt: install it instead", c.name);
                    return self.core.done(id, 0, 0, Some(why));
                }
                let children = child
                    .map(|config| StartChild { config, keeps: None, packet: None })
                    .into_iter()
                    .collect();
                self.initiate(Start {
                    conn,
                    children,
                    fresh: false,
                    replaces: None,
                    path: None,
                    command: Some(id),
                    vips: Vec::new(),
                });
            }
            Err(why) => self.core.done(id, 0, 0, Some(why)),
        }
    }

    /// Brings up children, on an IKE_SA that is there or on a new one.
    pub(crate) fn initiate(&mut self, start: Start) {
        if self.core.closing {
            if let Some(id) = start.command {
                self.core.done(id, 0, 0, Some("the daemon is shutting down".to_owned()));
            }
            return;
        }
        let wanted = start.children.first().map(|c| c.config.name.clone());
        let reuse = !start.fresh && self.core.snapshot.settings.reuse_ikesa;
        let fits = |sa: &&IkeSa| sa.is_up() || (sa.initiator && sa.is_connecting());
        let table = &self.core.table;
        let known = match start.path.filter(|_| !names_peer(&start.conn)) {
            _ if !reuse => None,
            Some((_, remote)) => {
                let fit = table.at(remote.ip()).filter(|sa| sa.conn.name == start.conn.name).filter(fits);
                fit.min_by_key(|sa| sa.id)
            }
            None => table.named(&start.conn.name).find(fits),
        };
        if let Some((ike, up)) = known.map(|sa| (sa.id, sa.is_up())) {
            if let Some(id) = start.command {
                if wanted.is_none() && up {
                    return self.core.done(id, 1, 1, None);
                }
                self.core.commands.add(id, Want::Up { ike, child: wanted });
            }
            return self.touch(ike, |core, sa| {
                for c in start.children {
                    if sa.established().is_some() {
                        enqueue(core, sa, Job::ChildCreate(c));
                    } else {
                        sa.wanted.push(c);
                    }
                }
            });
        }
        let id = self.core.ike_id();
        let unspecified = |v6: bool| {
            SocketAddr::new(
                if v6 {
                    std::net::Ipv6Addr::UNSPECIFIED.into()
                } else {
                    std::net::Ipv4Addr::UNSPECIFIED.into()
                },
                0,
            )
        };
        let mut sa = IkeSa::new(
            id,
            Arc::clone(&start.conn),
            true,
            unspecified(false),
            unspecified(false),
            self.core.now.mono,
        );
        sa.spi_i = self.core.shard.ike_spi(&mut self.core.rng);
        sa.wanted = start.children.into_iter().collect();
        sa.replaces = start.replaces;
        if !start.vips.is_empty() {
            sa.few_mut().vips_before = start.vips.into_iter().collect();
        }
        if let Some(command) = start.command {
            self.core.commands.add(command, Want::Up { ike: id, child: wanted });
        }
        let path = start.path;
        self.put_back(Box::new(sa));
        self.touch(id, |core, sa| match path {
            // A successor goes to where the peer was, an acquired child to where the packet goes: the connection may
            // name a range or `%any`.
            Some((local, remote)) if !names_peer(&sa.conn) => {
                sa.remote = remote;
                if local.is_unspecified() {
                    init::look_up(core, sa, vec![policy::PeerAddr::Ip(remote.ip())]);
                } else {
                    init::resolved(core, sa, vec![(local, remote.ip())], None);
                }
            }
            _ => init::begin(core, sa),
        });
    }

    /// Replaces an IKE_SA by a new one with the same children (`reauth_time`).
    pub(crate) fn reauthenticate(&mut self, id: u32) {
        let Some(sa) = self.core.table.get(id).filter(|sa| sa.is_up()) else { return };
        let children: Vec<StartChild> = sa
            .children
            .values()
            .filter(|c| c.is_live())
            .map(|c| StartChild {
                config: Arc::clone(&c.sa.config),
                keeps: Some(child::Keeps::of(&c.sa)),
                packet: None,
            })
            .collect();
        let start = Start {
            conn: Arc::clone(&sa.conn),
            children: children.clone(),
            fresh: true,
            replaces: Some(id),
            path: Some((sa.local.ip(), sa.remote)),
            command: None,
            vips: sa.local_vips.to_vec(),
        };
        // A client with an address of ours, or one that authenticates by EAP, can only do so by itself.
        let client = !sa.remote_vips.is_empty() || v2::auth::by_eap(&sa.conn);
        if !sa.initiator && client {
            self.touch(id, |core, sa| {
                say!(core, sa, Ike 1, "initiator did not reauthenticate as requested, closing IKE_SA {}", sa.title());
                close::close(core, sa);
            });
            return;
        }
        let make_before_break = self.core.snapshot.settings.make_before_break;
        self.touch(id, |core, sa| {
            say!(core, sa, Ike 0, "reauthenticating IKE_SA {}", sa.title());
            if !make_before_break {
                sa.few_mut().restart = children.into_iter().collect();
                close::close(core, sa);
            }
        });
        if make_before_break {
            self.initiate(start);
        }
    }

    // -------------------------------------------------------------------------------------- terminate, rekey

    /// All that a command names are found, so many.
    pub(crate) fn carried_out(&mut self, id: CommandId, deed: Deed, matches: u32) {
        match deed {
            Deed::Terminate { .. } if matches == 0 => {
                self.core.done(id, 0, 0, Some("no matching SAs to terminate found".to_owned()));
            }
            Deed::Terminate { .. } => self.core.expects_no_more(id),
            Deed::Rekey { .. } => {
                let error = (matches == 0).then(|| "no matching SAs to rekey found".to_owned());
                self.core.done(id, matches, matches, error);
            }
        }
    }

    fn shutdown(&mut self, id: CommandId) {
        self.core.closing = true;
        self.core.later.clear();
        trap::remove_all(&mut self.core);
        self.core.commands.add(id, Want::Empty);
        self.chores.drop_paced();
        self.set_about(self.core.table.ids(), Chore::Close);
        if self.core.table.is_empty() {
            self.core.all_gone();
        }
    }
}

/// Whether a connection names where its peer is.
pub(crate) fn names_peer(c: &Connection) -> bool {
    c.remote_addrs.iter().any(|a| matches!(a, policy::PeerAddr::Ip(_) | policy::PeerAddr::Name(_)))
}

/// Counters of a child: they feed inactivity, liveness and the switch after a rekeying.
fn traffic(
    core: &mut Core,
    sa: &mut IkeSa,
    id: u32,
    usage_in: policy::sa::Usage,
    usage_out: policy::sa::Usage,
) {
    let Some(c) = sa.children.get_mut(&id) else { return };
    let news_in = usage_in.packets > c.usage_in.packets;
    let news = news_in || usage_out.packets > c.usage_out.packets;
    c.usage_in = usage_in;
    c.usage_out = usage_out;
    let now = core.now.mono;
    if news {
        c.last_used = c.last_used.max(usage_in.last.unwrap_or(0)).max(usage_out.last.unwrap_or(0)).min(now);
    }
    if news_in {
        let waiting = c.sa.inbound_only;
        liveness::heard(sa, usage_in.last.unwrap_or(now).min(now));
        if waiting {
            // The initiator sends on the new SA, so it can receive on it (RFC 7296 2.8).
            child::activate(core, sa, id);
        }
    }
}

/// The data plane saw the peer elsewhere.
fn mapping(core: &mut Core, sa: &mut IkeSa, remote: SocketAddr) {
    if sa.nat.remote && !sa.nat.local && sa.is_up() {
        say!(core, sa, Knl 1, "NAT mappings of peer changed to {}", v2::send::host(remote));
        mobike::moved(core, sa, sa.local, remote);
    } else {
        core.tell(Event::Count { name: "invalid", connection: Some(sa.conn.name.clone()) });
    }
}
