//! A new configuration: start actions run, those of what is gone are undone.
use crate::core::{Start, StartChild};
use crate::engine::Engine;
use crate::io::StartActions;
use crate::v2::{Job, close, enqueue};
use policy::{Mode, Snapshot};
use std::sync::Arc;

impl Engine {
    pub(crate) fn reload(&mut self, snapshot: Arc<Snapshot>, actions: &StartActions) {
        let before = std::mem::replace(&mut self.core.snapshot, snapshot);
        for name in &actions.undo {
            let Some(conn) = before.connections.iter().find(|c| c.name == *name) else { continue };
            for child in &conn.children {
                let shunt = matches!(child.mode, Mode::Pass | Mode::Drop);
                if child.start_action.trap || shunt {
                    crate::trap::uninstall(&mut self.core, Some(name), &child.name, None);
                }
                if child.start_action.start && !shunt {
                    self.undo_start(name, &child.name);
                }
            }
        }
        for name in &actions.run {
            let Some(conn) = self.core.snapshot.connections.iter().find(|c| c.name == *name).cloned() else {
                continue;
            };
            for child in &conn.children {
                let shunt = matches!(child.mode, Mode::Pass | Mode::Drop);
                if child.start_action.trap || (shunt && child.start_action.start) {
                    crate::trap::install(&mut self.core, &conn, child, None);
                }
                if child.start_action.start && !shunt {
                    let already =
                        self.sas.values().any(|sa| sa.conn.name == *name && sa.brings_up(&child.name));
                    if already {
                        continue;
                    }
                    let children = vec![StartChild { config: Arc::clone(child), reqid: None, packet: None }];
                    let conn = Arc::clone(&conn);
                    self.initiate(Start {
                        conn,
                        children,
                        fresh: false,
                        replaces: None,
                        path: None,
                        command: None,
                    });
                }
            }
        }
    }

    /// Closes the children of that name; an IKE_SA that is left without children goes too.
    fn undo_start(&mut self, connection: &str, child: &str) {
        let ids: Vec<u32> =
            self.sas.values().filter(|sa| sa.conn.name == connection).map(|sa| sa.id).collect();
        for id in ids {
            self.touch(id, |core, sa| {
                let (hit, others): (Vec<_>, Vec<_>) =
                    sa.children.values().filter(|c| c.is_live()).partition(|c| c.sa.config.name == child);
                let hit: Vec<u32> = hit.iter().map(|c| c.sa.id).collect();
                let connecting = sa.is_connecting() && sa.initiator;
                if connecting || (!hit.is_empty() && others.is_empty()) {
                    return close::close(core, sa);
                }
                for c in hit {
                    enqueue(core, sa, Job::ChildDelete(c));
                }
            });
        }
    }
}
