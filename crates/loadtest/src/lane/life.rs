//! How clients of a lane come, what happens to them, and how they go.
use super::{Client, ECHOES, LEAVE, Lane, Start, State, clocks};
use crate::crew::CHILD;
use crate::reason::Reason;
use ike::io::{CommandId, Filter, IkeView, StartActions};
use ike::{Command, Event};
use std::sync::atomic::Ordering;
use std::time::Instant;
use wire::iana::ExchangeType;

impl Lane {
    fn number(&self, index: usize) -> u32 {
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        let step = index.saturating_mul(u32::from(self.share.lanes.max(1)));
        self.plan.first.saturating_add(u32::from(self.share.lane)).saturating_add(step)
    }

    fn index(&self, number: u32) -> usize {
        let offset = number.saturating_sub(self.plan.first).saturating_sub(u32::from(self.share.lane));
        usize::try_from(offset / u32::from(self.share.lanes.max(1))).unwrap_or(usize::MAX)
    }

    /// The client that an IKE_SA belongs to: its connection has the client's number for a name.
    fn client(&mut self, name: &str) -> Option<(u32, usize)> {
        let number = name.parse().ok()?;
        let index = self.index(number);
        (index < self.clients.len()).then_some((number, index))
    }

    pub(super) fn may_start(&self) -> bool {
        self.starting.len() < self.concurrent && (self.fresh < self.clients.len() || !self.again.is_empty())
    }

    pub(super) fn start_some(&mut self) {
        while self.may_start() && self.starts.take(Instant::now()) {
            let index = self.again.pop_front().unwrap_or_else(|| {
                let fresh = self.fresh;
                self.fresh = fresh.saturating_add(1);
                fresh
            });
            self.start(index);
        }
    }

    fn start(&mut self, index: usize) {
        let number = self.number(index);
        self.tally.begun = self.tally.begun.saturating_add(1);
        let snapshot = match self.crew.muster(number) {
            Ok(snapshot) => snapshot,
            Err(why) => {
                self.set(index, State::Over);
                let client = self.crew.identity(number);
                return self.tally.failure(Reason::Other(why).trimmed(&client));
            }
        };
        self.set(index, State::Starting);
        self.starting.insert(number, Start { at: Instant::now(), why: None });
        let now = clocks();
        self.engine.command(now, Command::Reload { snapshot, start_actions: StartActions::default() });
        self.drain();
        let command = Command::Initiate {
            id: CommandId(u64::from(number)),
            ike: Some(number.to_string()),
            child: Some(CHILD.to_owned()),
        };
        self.engine.command(now, command);
        self.drain();
    }

    /// The client has no IKE_SA any more, or none yet.
    fn set(&mut self, index: usize, state: State) {
        if let Some(client) = self.clients.get_mut(index) {
            *client = Client { state, ..Client::default() };
        }
    }

    /// Clients whose time has come leave, to come again.
    pub(super) fn let_go(&mut self) {
        let now = Instant::now();
        while let Some((_, index)) = self.churn.front().copied().filter(|(at, _)| *at <= now) {
            self.churn.pop_front();
            // Answers that are still to come would count as lost.
            let child = self.clients.get(index).map_or(0, |client| client.child);
            let sends = self.asks.flows.as_mut().is_some_and(|flows| flows.quiet(child).is_some());
            self.quieted.push_back((if sends { now + ECHOES } else { now }, index));
        }
        while let Some((_, index)) = self.quieted.front().copied().filter(|(at, _)| *at <= now) {
            self.quieted.pop_front();
            self.leave(index);
        }
    }

    fn leave(&mut self, index: usize) {
        let number = self.number(index);
        let Some(client) = self.clients.get_mut(index).filter(|client| client.state == State::Up) else {
            return;
        };
        client.state = State::Leaving;
        let filter = Filter { ike_id: Some(client.ike), ..Filter::default() };
        self.leaving = self.leaving.saturating_add(1);
        let id = CommandId(u64::from(number) | LEAVE);
        self.engine.command(clocks(), Command::Terminate { id, filter, force: false });
        self.drain();
    }

    /// The run ends: what is under way is given up, what is up says goodbye, some at a time.
    pub(super) fn say_goodbye(&mut self) {
        self.churn.clear();
        self.quieted.clear();
        while self.farewell < self.clients.len()
            && self.leaving < self.concurrent
            && self.goodbyes.take(Instant::now())
        {
            // Those that are not there cost no time.
            while let Some(client) = self.clients.get(self.farewell).copied() {
                let index = self.farewell;
                self.farewell = index.saturating_add(1);
                match client.state {
                    State::Up => {
                        self.leave(index);
                        break;
                    }
                    State::Starting => self.give_up(index),
                    State::Out | State::Leaving | State::Over => {}
                }
            }
        }
    }

    fn give_up(&mut self, index: usize) {
        let number = self.number(index);
        self.set(index, State::Over);
        self.starting.remove(&number);
        self.crew.settled(number);
        self.tally.abandoned = self.tally.abandoned.saturating_add(1);
        let filter = Filter { ike: Some(number.to_string()), ..Filter::default() };
        let id = CommandId(u64::from(number) | LEAVE);
        self.engine.command(clocks(), Command::Terminate { id, filter, force: false });
        self.drain();
    }

    // -------------------------------------------------------------------------------------- what happens

    pub(super) fn hear(&mut self, event: Event) {
        match event {
            Event::CommandDone { id, error, .. } if id.0 & LEAVE == 0 => {
                self.set_up(u32::try_from(id.0).unwrap_or(u32::MAX), error);
            }
            Event::IkeUpDown { up: true, sa } => {
                if let Some((_, index)) = self.client(&sa.name)
                    && let Some(client) = self.clients.get_mut(index)
                {
                    client.ike = sa.unique_id;
                }
            }
            Event::IkeUpDown { up: false, sa } => self.down(&sa),
            Event::IkeRekey { new, old } => {
                if let Some((_, index)) = self.client(&new.name)
                    && let Some(client) = self.clients.get_mut(index)
                {
                    client.ike = new.unique_id;
                }
                self.tally.ike_rekeys = self.tally.ike_rekeys.saturating_add(1);
                if let Some(at) = self.rekeying.remove(&old.spi_i) {
                    self.tally.rekey_ike.add(at.elapsed());
                }
            }
            Event::ChildUpDown { up: true, sa, child } => {
                if let Some((_, index)) = self.client(&sa.name)
                    && let Some(client) = self.clients.get_mut(index)
                {
                    client.child = child.sa.id;
                }
            }
            Event::ChildRekey { sa, new, .. } => {
                if let Some((_, index)) = self.client(&sa.name)
                    && let Some(client) = self.clients.get_mut(index)
                {
                    client.child = new.sa.id;
                }
                self.tally.child_rekeys = self.tally.child_rekeys.saturating_add(1);
                if let Some(at) = self.rekeying.remove(&sa.spi_i) {
                    self.tally.rekey_child.add(at.elapsed());
                }
            }
            Event::Alert { kind, sa: Some(sa), detail } => self.alarm(kind, &sa, &detail),
            Event::Log { level: ..=1, ike: Some((name, _)), text, .. } => {
                if let Some(reason) = Reason::of_log(&text)
                    && let Some((number, _)) = self.client(&name)
                {
                    self.blame(number, reason);
                }
            }
            Event::CommandDone { .. }
            | Event::Alert { .. }
            | Event::Log { .. }
            | Event::IkeUpdate { .. }
            | Event::ChildUpDown { .. }
            | Event::ChildRetired { .. }
            | Event::Count { .. }
            | Event::CommandLog { .. } => {}
        }
    }

    fn alarm(&mut self, kind: &str, sa: &IkeView, detail: &[(&'static str, String)]) {
        let Some((number, _)) = self.client(&sa.name) else { return };
        let reason = match kind {
            "retransmit-send-timeout" => match self.exchanges.waiting(sa.spi_i) {
                Some(ExchangeType::IkeSaInit) => Reason::NoAnswer,
                _ if self.starting.contains_key(&number) => Reason::NoAnswerLater,
                _ => Reason::Dead,
            },
            _ => match detail.iter().find(|(key, _)| *key == "reason") {
                Some((_, why)) => Reason::GatewayDistrusted(why.clone()),
                None => return,
            },
        };
        self.blame(number, reason);
    }

    /// Remembers why a client is failing; of several reasons the one that says most.
    fn blame(&mut self, number: u32, reason: Reason) {
        if let Some(start) = self.starting.get_mut(&number) {
            if start.why.as_ref().is_none_or(|why| why.weight() < reason.weight()) {
                start.why = Some(reason);
            }
        } else if reason == Reason::Dead {
            self.dying.insert(number, reason);
        }
    }

    /// A set-up has ended.
    fn set_up(&mut self, number: u32, error: Option<String>) {
        let Some(start) = self.starting.remove(&number) else { return };
        self.crew.settled(number);
        let index = self.index(number);
        let ike = self.clients.get(index).map_or(0, |client| client.ike);
        let Some(error) = error else {
            if let Some(client) = self.clients.get_mut(index) {
                client.state = State::Up;
            }
            self.tally.established = self.tally.established.saturating_add(1);
            self.tally.up = self.tally.up.saturating_add(1);
            self.tally.setup.add(start.at.elapsed());
            if let Some(stay) = self.plan.churn {
                self.churn.push_back((Instant::now() + stay, index));
            }
            return;
        };
        let reason = start.why.unwrap_or(Reason::Other(error));
        let client = self.crew.identity(number);
        self.tally.failure(reason.trimmed(&client));
        self.set(index, State::Over);
        if ike != 0 {
            // An IKE_SA without its CHILD_SA is of no use.
            let filter = Filter { ike_id: Some(ike), ..Filter::default() };
            let id = CommandId(u64::from(number) | LEAVE);
            self.todo.push(Command::Terminate { id, filter, force: false });
        }
    }

    fn down(&mut self, sa: &IkeView) {
        self.exchanges.forget(sa.spi_i);
        self.rekeying.remove(&sa.spi_i);
        if let Some((_, took)) = self.farewelled.take_if(|(spi, _)| *spi == sa.spi_i) {
            self.tally.goodbye.add(took);
        }
        let Some((number, index)) = self.client(&sa.name) else { return };
        let reason = self.dying.remove(&number);
        let Some(client) = self.clients.get(index).copied().filter(|client| client.ike == sa.unique_id)
        else {
            return;
        };
        match client.state {
            State::Leaving => {
                self.leaving = self.leaving.saturating_sub(1);
                self.tally.left = self.tally.left.saturating_add(1);
                self.tally.up = self.tally.up.saturating_sub(1);
                if self.plan.churn.is_some() && !self.shared.ending.load(Ordering::Relaxed) {
                    self.set(index, State::Out);
                    self.again.push_back(index);
                } else {
                    self.set(index, State::Over);
                }
            }
            State::Up => {
                self.tally.up = self.tally.up.saturating_sub(1);
                self.tally.loss(reason.unwrap_or(Reason::Closed));
                self.set(index, State::Over);
            }
            State::Out | State::Starting | State::Over => {}
        }
    }
}
