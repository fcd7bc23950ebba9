//! A new configuration: start actions run, those of what is gone are undone.
use crate::chore::Chore;
use crate::core::{Start, StartChild};
use crate::engine::Engine;
use crate::io::{Group, StartActions};
use crate::v2::{Job, close, enqueue};
use policy::{Child, Connection, Mode, Snapshot};
use std::collections::BTreeSet;
use std::sync::Arc;

impl Engine {
    pub(crate) fn reload(&mut self, snapshot: Arc<Snapshot>, actions: &StartActions) {
        let before = std::mem::replace(&mut self.core.snapshot, snapshot);
        self.core.secrets = Default::default();
        let mut undone = BTreeSet::new();
        for name in &actions.undo {
            let Some(conn) = before.connection(name) else { continue };
            let after = self.core.snapshot.connection(name).cloned();
            // Where only children changed, the others and the IKE_SA are left alone.
            let updated = after.filter(|after| same_peer(conn, after));
            let kept = |child: &Child| {
                updated.as_ref().is_some_and(|after| after.child(&child.name).is_some_and(|c| **c == *child))
            };
            let mut started = Vec::new();
            for child in conn.children.iter().filter(|child| !kept(child)) {
                let shunt = matches!(child.mode, Mode::Pass | Mode::Drop);
                if child.start_action.trap || shunt {
                    crate::trap::uninstall(&mut self.core, Some(name), &child.name, None);
                }
                if child.start_action.start && !shunt {
                    started.push(child.name.clone());
                }
            }
            let goes_on = updated.as_ref().is_some_and(|after| {
                after.children.iter().any(|child| {
                    child.start_action.start && conn.child(&child.name).is_none_or(|c| **c != **child)
                })
            });
            if !started.is_empty() {
                let ids = self.core.table.named(name).map(|sa| sa.id).collect();
                self.set_about(ids, Chore::UndoStart { children: started.clone().into(), goes_on });
            }
            undone.extend(started.into_iter().map(|child| (name.clone(), child)));
        }
        for name in &actions.run {
            let Some(conn) = self.core.snapshot.connections.iter().find(|c| c.name == *name).cloned() else {
                continue;
            };
            let unchanged = before
                .connection(name)
                .filter(|before| actions.undo.contains(name) && same_peer(before, &conn));
            for child in &conn.children {
                if unchanged.is_some_and(|before| before.child(&child.name).is_some_and(|c| **c == **child)) {
                    continue;
                }
                let shunt = matches!(child.mode, Mode::Pass | Mode::Drop);
                if child.start_action.trap || (shunt && child.start_action.start) {
                    crate::trap::install(&mut self.core, &conn, child, None);
                }
                if child.start_action.start && !shunt {
                    // What was just closed may still be there, on its way out.
                    let already = !undone.contains(&(name.clone(), child.name.clone()))
                        && self.core.table.named(name).any(|sa| sa.brings_up(&child.name));
                    if already {
                        continue;
                    }
                    self.core.log(Group::Cfg, 1, None, format!("vici initiating '{}'", child.name));
                    let children = vec![StartChild { config: Arc::clone(child), keeps: None, packet: None }];
                    let conn = Arc::clone(&conn);
                    self.initiate(Start {
                        conn,
                        children,
                        fresh: false,
                        replaces: None,
                        path: None,
                        command: None,
                        vips: Vec::new(),
                    });
                }
            }
        }
    }

    /// Closes the children of these names; an IKE_SA that is left without children goes too, unless `goes_on`: new
    /// ones are about to be started.
    pub(crate) fn undo_start(&mut self, id: u32, children: &[String], goes_on: bool) {
        self.touch(id, |core, sa| {
            let (hit, others): (Vec<_>, Vec<_>) = sa
                .children
                .values()
                .filter(|c| c.is_live())
                .partition(|c| children.contains(&c.sa.config.name));
            let hit: Vec<(u32, String)> = hit.iter().map(|c| (c.sa.id, c.sa.config.name.clone())).collect();
            let connecting = sa.is_connecting() && sa.initiator;
            if connecting || (!hit.is_empty() && others.is_empty() && !goes_on) {
                core.log(Group::Cfg, 1, None, format!("vici closing IKE_SA '{}'", sa.conn.name));
                return close::close(core, sa);
            }
            for (c, name) in hit {
                core.log(Group::Cfg, 1, None, format!("vici closing CHILD_SA '{name}' #{c}"));
                enqueue(core, sa, Job::ChildDelete(c));
            }
        });
    }
}

/// The two differ in nothing but their children.
fn same_peer(a: &Connection, b: &Connection) -> bool {
    let bare = |c: &Connection| Connection { children: Vec::new(), ..c.clone() };
    bare(a) == bare(b)
}
