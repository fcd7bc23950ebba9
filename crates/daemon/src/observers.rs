//! Those who want to know what happens: log, vici events, counters, updown scripts, waiting commands.
//!
//! They read the engine's events and change nothing; none of them may block.

pub(crate) mod accounting;
pub(crate) mod commands;
pub(crate) mod counters;
pub(crate) mod log;
pub(crate) mod updown;

use crate::control::events::Registry;
use crate::control::view;
use config::tree::Section;
use ike::io::{ChildView, Event, Group, IkeView};
use log::{Log, Voice};
use std::sync::Arc;
use vici::Message;

/// All observers.
pub(crate) struct Observers {
    pub(crate) log: Arc<Log>,
    pub(crate) clients: Arc<Registry>,
    pub(crate) counters: Arc<counters::Counters>,
    pub(crate) commands: Arc<commands::Commands>,
    pub(crate) updown: updown::Handle,
    pub(crate) radius: crate::asks::radius::Handle,
    pub(crate) neighbours: crate::neighbours::Handle,
}

impl Observers {
    /// Passes an event on.
    pub(crate) fn tell(&self, event: Event) {
        let now = linux::clock::monotonic_ms;
        if self.radius.accounts() && accounting::matters(&event) && !self.radius.event(event.clone()) {
            self.log.say(Voice::Engine, Group::Cfg, 0, "RADIUS accounting is behind, an event is lost");
        }
        if !self.neighbours.event(&event) {
            self.log.say(
                Voice::Engine,
                Group::Net,
                0,
                "answering for neighbours is behind, an event is lost",
            );
        }
        match event {
            Event::Log { group, level, ike, text } => self.log.line(Voice::Engine, group, level, ike, text),
            Event::IkeUpDown { up, sa } => self.clients.emit("ike-updown", || {
                let mut event = up_or_down(up);
                event.put_section(&sa.name, view::ike_sa(&sa, now()));
                event
            }),
            Event::IkeRekey { old, new } => self.clients.emit("ike-rekey", || {
                let mut both = Section::default();
                both.put_section("old", view::ike_sa(&old, now()));
                both.put_section("new", view::ike_sa(&new, now()));
                let mut event = Section::default();
                event.put_section(&new.name, both);
                event
            }),
            Event::IkeUpdate { sa, local, remote } => self.clients.emit("ike-update", || {
                let mut event = Section::default();
                event.put("local-host", local.ip());
                event.put("local-port", local.port());
                event.put("remote-host", remote.ip());
                event.put("remote-port", remote.port());
                event.put_section(&sa.name, view::ike_sa(&sa, now()));
                event
            }),
            Event::ChildUpDown { up, sa, child } => {
                self.clients.emit("child-updown", || {
                    let mut event = up_or_down(up);
                    let mut children = Section::default();
                    children.put_section(&view::child_key(&child), view::child_sa(&child, now()));
                    event.put_section(&sa.name, with_children(&sa, children, now()));
                    event
                });
                self.updown.child(up, &sa, &child);
            }
            Event::ChildRekey { sa, old, new } => {
                self.clients.emit("child-rekey", || rekeyed(&sa, &old, &new, now()));
                self.updown.rekeyed(old.sa.id, new.sa.id);
            }
            Event::ChildRetired { .. } => {}
            Event::Alert { kind, sa, detail } => self.clients.emit("alert", || {
                let mut event = Section::default();
                event.put("type", kind);
                for (key, text) in &detail {
                    event.put(key, text);
                }
                if let Some(sa) = &sa {
                    let mut section = Section::default();
                    section.put_section(&sa.name, view::ike_sa(sa, now()));
                    event.put_section("ike-sa", section);
                }
                event
            }),
            Event::Count { name, connection } => self.counters.tick(name, connection.as_deref()),
            Event::CommandDone { id, matches, done, error } => {
                self.commands.done(id, commands::Outcome { matches, done, error });
            }
            Event::CommandLog { id, group, level, ike, text } => {
                self.commands.log(id, commands::Progress { group, level, ike, text });
            }
        }
    }
}

fn up_or_down(up: bool) -> Section {
    let mut event = Section::default();
    if up {
        event.put("up", "yes");
    }
    event
}

fn with_children(sa: &IkeView, children: Section, now: u64) -> Section {
    let mut section = view::ike_sa(sa, now);
    section.put_section("child-sas", children);
    section
}

fn rekeyed(sa: &IkeView, old: &ChildView, new: &ChildView, now: u64) -> Section {
    let mut both = Section::default();
    both.put_section("old", view::child_sa(old, now));
    both.put_section("new", view::child_sa(new, now));
    let mut children = Section::default();
    children.put_section(&new.sa.config.name, both);
    let mut event = Section::default();
    event.put_section(&sa.name, with_children(sa, children, now));
    event
}
