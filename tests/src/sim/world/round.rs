//! One round of a device, as its driver would do it: decide, commit, perform in order; with a crash between any two of these, and the
//! rules checked at each.

use std::rc::Rc;

use kinfolk_core::engine::Engine;
use kinfolk_core::ids::{DeviceId, Millis};
use kinfolk_core::roster::{RosterChange, Verified};
use kinfolk_core::step::{CallId, Change, Delivery, Input, Output, Push, Reply, Send};

use super::brief::brief;
use super::compose::compose;
use super::{Event, World};
use crate::sim::broken::{Broken, Held};
use crate::sim::device::{Call, Request};
use crate::sim::people::{self, index_of};
use crate::sim::sabotage::Sabotage;

impl World {
    /// Takes some of what lies in the inbox and does all that follows.
    pub(super) fn round(&mut self, index: usize, life: u64) -> Held {
        let Some(device) = self.devices.get_mut(index).filter(|device| device.life == life && device.planned) else {
            return Ok(());
        };
        device.planned = false;
        device.strangers.clear();
        device.cut.clear();
        let ready = device.inbox.len();
        let taken = if self.dice.chance(70) { ready } else { ready.min(1) };
        let requests: Vec<Request> = device.inbox.drain(..taken).collect();
        if taken < ready {
            device.planned = true;
            self.queue_at(Millis(1), Event::Round(index, life));
        }
        let mut later = Vec::new();
        for request in requests {
            self.decide(index, request)?;
            self.collect(index, &mut later)?;
        }
        let Some(now) = self.devices.get_mut(index).map(|device| device.at(self.now)) else {
            return Ok(());
        };
        self.mint(index, now);
        self.rekey(index, now);
        self.tell_lacking(index, now);
        let wake = self.engine(index).and_then(|engine| engine.settle(now));
        self.collect(index, &mut later)?;

        if self.rules.sabotage == Some(Sabotage::AckBeforeCommit) {
            for output in later.extract_if(.., |output| matches!(output, Output::Acknowledge(_))) {
                self.perform(index, output)?;
            }
        }
        if self.post.hostile && self.dice.rarely(4) {
            return self.crash(index);
        }
        if self.post.hostile && self.dice.rarely(4) {
            return self.refuse_commit(index);
        }
        if let Some(device) = self.devices.get_mut(index) {
            device.disk.commit()?;
        }
        self.check_commit(index)?;
        self.look(index);
        let stop = (self.post.hostile && self.dice.rarely(8)).then(|| self.dice.below(4));
        for (done, output) in (0..).zip(later) {
            if stop == Some(done) {
                return self.crash(index);
            }
            self.perform(index, output)?;
        }
        if stop.is_some() {
            return self.crash(index);
        }
        if self.engine(index).is_some_and(|engine| engine.is_spent()) {
            return self.renew(index);
        }
        self.plan_wake(index, wake)
    }

    /// A spent engine is restored from what is on disk; the program goes on.
    fn renew(&mut self, index: usize) -> Held {
        let seed = self.dice.below(u64::MAX);
        let Some(device) = self.devices.get_mut(index) else { return Ok(()) };
        device.restore(seed)?;
        device.sent.clear();
        device.wake = None;
        let waiting = std::mem::take(&mut device.inbox);
        device.planned = false;
        self.say(|| format!("the engine of device {index} is restored"));
        self.greet(index);
        waiting.into_iter().for_each(|request| self.ask(index, request));
        Ok(())
    }

    fn engine(&mut self, index: usize) -> Option<&mut Engine> {
        self.devices.get_mut(index)?.engine.as_mut()
    }

    /// Hands one request to the engine.
    fn decide(&mut self, index: usize, request: Request) -> Held {
        let input = match &request {
            Request::Mail(number) => match self.open(*number) {
                Some(input) => input,
                // Acknowledged by an earlier copy of this request.
                None => return Ok(()),
            },
            Request::Tell(input) => input.clone(),
            Request::Push { .. } | Request::Author(_) | Request::Compact | Request::Prune | Request::Seek => {
                Input::Tick
            }
        };
        let now = self.now;
        let Some(device) = self.devices.get_mut(index) else { return Ok(()) };
        let at = device.at(now);
        let input = match request {
            Request::Mail(_) | Request::Tell(_) => input,
            Request::Push { ops, app } => {
                let call = device.register(Call::Push { numbered: app.is_some() });
                let (facts, app_fact) = device.disk.facts(&ops, app.as_ref())?;
                Input::Push(Push { call, ops, app, facts, app_fact, bases: Default::default() })
            }
            Request::Author(change) => {
                let call = device.register(Call::Author(Box::new(change.clone())));
                let Some(engine) = device.engine.as_mut() else { return Ok(()) };
                Input::Record { call, record: people::authored(index, engine, at.wall, change) }
            }
            Request::Compact => {
                let call = device.register(Call::Compact);
                let Some(engine) = device.engine.as_ref() else { return Ok(()) };
                let chain = device.disk.chain(&engine.compaction_places(at))?;
                Input::Compact { call, chain }
            }
            Request::Prune => {
                let call = device.register(Call::Prune);
                Input::Prune { call, before_us: i64::MAX, dry_run: false }
            }
            Request::Seek => {
                let call = device.register(Call::Seek);
                Input::Seek { call, wanted: device.disk.model().elsewhere() }
            }
        };
        if let Input::Received { parcel, .. } = &input {
            let bundles = parcel.runs.iter().flat_map(|run| &run.get().bundles);
            let model = device.disk.model();
            let held = bundles.filter(|bundle| model.bundle(bundle.dot).is_some()).count();
            let sender = parcel.letter.sender;
            let forwarded = parcel.runs.iter().filter(|run| run.get().device != sender);
            let forwarded: usize = forwarded.map(|run| run.get().bundles.len()).sum();
            self.tally.duplicates += u64::try_from(held).unwrap_or_default();
            self.tally.forwarded += u64::try_from(forwarded).unwrap_or_default();
        }
        let Some(device) = self.devices.get_mut(index) else { return Ok(()) };
        let Some(engine) = device.engine.as_mut() else { return Ok(()) };
        let named: Vec<DeviceId> = match &input {
            Input::Received { parcel, .. } => {
                let authors = parcel.runs.iter().map(|run| run.get().device);
                authors.chain([parcel.letter.sender]).collect()
            }
            Input::Push(_)
            | Input::FromRemoved(_)
            | Input::Unopenable { .. }
            | Input::Record { .. }
            | Input::Sent { .. }
            | Input::RelayHealth { .. }
            | Input::RelayAdded(_)
            | Input::RelayKeeps { .. }
            | Input::RelayLeaving(_)
            | Input::RelayRemoved(_)
            | Input::RelayOrder(_)
            | Input::Gate { .. }
            | Input::Pass
            | Input::SyncNow
            | Input::AskSums(_)
            | Input::Minted { .. }
            | Input::Compact { .. }
            | Input::Looked(_)
            | Input::Rekeyed(_)
            | Input::Fetched { .. }
            | Input::Prunes(_)
            | Input::Lacking(_)
            | Input::Prune { .. }
            | Input::Seek { .. }
            | Input::Tick => Vec::new(),
        };
        engine.handle(input, at);
        let strangers = named.into_iter().filter(|id| engine.roster().member(*id).is_none());
        device.strangers.extend(strangers);
        Ok(())
    }

    /// Applies commits as they come; the rest waits for the disk.
    fn collect(&mut self, index: usize, later: &mut Vec<Output>) -> Held {
        while let Some(output) = self.engine(index).and_then(Engine::poll_output) {
            match output {
                Output::Commit(change) => {
                    if let Change::Append(append) = &change {
                        let mine = append.device == people::device_id(index);
                        let own = self.devices.get(index).map(|device| device.disk.model().source());
                        let back = mine && own != Some(append.bundle.dot.source);
                        self.tally.regained += u64::from(back);
                    }
                    self.tally.early += u64::from(matches!(change, Change::Early { .. }));
                    self.tally.cuts += u64::from(matches!(change, Change::Cut { .. }));
                    self.tally.chunks += u64::from(matches!(change, Change::Staged(_)));
                    self.tally.joins += u64::from(matches!(change, Change::Join(_)));
                    self.tally.seeds += u64::from(matches!(change, Change::PrekeyGone(_)));
                    self.say(|| format!("device {index} writes {}", brief(&change)));
                    let Some(device) = self.devices.get_mut(index) else { return Ok(()) };
                    device.disk.apply(&change)?;
                    if let Change::Cut { source, .. } = &change {
                        device.cut.insert(*source);
                    }
                    if let Change::Compact(compaction) = &change {
                        self.check_compaction(index, &compaction.watermark)?;
                    }
                    self.check_bodies(index, &change)?;
                }
                Output::Look(look) => {
                    let Some(device) = self.devices.get_mut(index) else { return Ok(()) };
                    device.look_up(look, self.now)?;
                }
                Output::Reply(..) | Output::Send(_) | Output::Acknowledge(_) => later.push(output),
            }
        }
        Ok(())
    }

    /// The disk is full: nothing of this round happened, whoever waits is told so, and the engine is restored.
    fn refuse_commit(&mut self, index: usize) -> Held {
        let seed = self.dice.below(u64::MAX);
        let Some(device) = self.devices.get_mut(index) else { return Ok(()) };
        device.disk.refuse()?;
        let calls = std::mem::take(&mut device.calls);
        device.restore(seed)?;
        device.sent.clear();
        device.wake = None;
        let waiting = std::mem::take(&mut device.inbox);
        device.planned = false;
        self.tally.failed_commits += 1;
        self.say(|| format!("the disk of device {index} refuses a commit"));
        self.held_is_kept(index)?;
        self.greet(index);
        waiting.into_iter().for_each(|request| self.ask(index, request));
        for call in calls.into_values() {
            if let Call::Author(change) = call {
                self.ask(index, Request::Author(*change));
            }
        }
        Ok(())
    }

    fn plan_wake(&mut self, index: usize, wake: Option<Millis>) -> Held {
        let now = self.now;
        let Some(device) = self.devices.get_mut(index) else { return Ok(()) };
        device.wake = wake;
        let Some(at) = wake else { return Ok(()) };
        Broken::unless(at > now, "a device that has nothing to do sleeps", || format!("device {index} at {at:?}"))?;
        let life = device.life;
        self.queue_at(at.since(now), Event::Wake(index, life));
        Ok(())
    }

    /// Performs an output, if what it rests on is on disk.
    fn perform(&mut self, index: usize, output: Output) -> Held {
        let Some(device) = self.devices.get_mut(index) else { return Ok(()) };
        Broken::unless(device.disk.is_durable(), "nothing is visible before it is durable", || {
            format!("device {index}: {output:?}")
        })?;
        match output {
            Output::Commit(_) | Output::Look(_) => Broken::rule("commits come before the rest", format!("{output:?}")),
            Output::Reply(call, reply) => self.reply(index, call, reply),
            Output::Send(send) => self.send(index, send),
            Output::Acknowledge(delivery) => self.acknowledge(index, delivery),
        }
    }

    fn reply(&mut self, index: usize, call: CallId, reply: Reply) -> Held {
        let Some(device) = self.devices.get_mut(index) else { return Ok(()) };
        let Some(call) = device.calls.remove(&call) else {
            return Broken::rule("every caller is answered once", format!("device {index}: {reply:?}"));
        };
        match (reply, call) {
            (Reply::Pushed(pushed), Call::Push { numbered }) => {
                if numbered && device.app.trying.take().is_some() {
                    device.app.answered += 1;
                }
                self.tally.repeated += u64::from(pushed.repeated);
                let Some(dot) = pushed.dot else { return Ok(()) };
                let held = device.disk.model().bundle(dot).is_some();
                Broken::unless(held, "an accepted bundle is on disk", || format!("device {index}: {dot:?}"))?;
                self.tally.accepted += u64::from(self.accepted.insert(dot));
                self.say(|| format!("device {index} accepts {} of {}", dot.seq, dot.source));
            }
            (Reply::Refused(refusal), Call::Push { numbered }) => {
                if numbered {
                    device.app.trying = None;
                }
                self.tally.refused += 1;
                self.say(|| format!("device {index} refuses: {refusal}"));
            }
            (Reply::Recorded, Call::Author(change)) => match *change {
                RosterChange::Add(_) => self.joined()?,
                RosterChange::Remove(_) => self.tally.removals += 1,
                RosterChange::Genesis(_)
                | RosterChange::Rename { .. }
                | RosterChange::Epoch(_)
                | RosterChange::Unknown => self.tally.renames += 1,
            },
            (Reply::Compacted(compaction), Call::Compact) => {
                self.tally.compactions += u64::from(!compaction.watermark.is_empty());
            }
            (Reply::Pruned(pruning), Call::Prune) => self.pruned(index, &pruning)?,
            (Reply::Sought(missed), Call::Seek) => self.say(|| format!("device {index} misses {missed:?}")),
            (reply, call) => {
                return Broken::rule("an answer fits its question", format!("{reply:?} to {call:?}"));
            }
        }
        Ok(())
    }

    fn send(&mut self, index: usize, send: Send) -> Held {
        let Some(to) = index_of(send.to) else { return Ok(()) };
        let Some(device) = self.devices.get_mut(index) else { return Ok(()) };
        let claims = &send.letter.receipt.vector;
        Broken::unless(*claims == device.held, "a receipt says what is on disk", || {
            format!("device {index}: {claims:?}")
        })?;
        self.tally.wants += u64::from(!send.letter.wants.is_empty());
        let own = device.disk.model().source();
        if let Some(run) = send.runs.iter().find(|run| run.source == own) {
            let sent = device.sent.entry(send.to).or_default();
            self.tally.rewinds += u64::from(run.after < *sent);
            *sent = run.upto;
        }
        let (parcel, reached, bytes) = compose(device, &send, self.rules.sabotage)?;
        self.say(|| {
            let runs: Vec<String> = reached.iter().map(|(source, seq)| format!("{source} to {seq}")).collect();
            let about = if send.letter.wants.is_empty() { "" } else { ", asks" };
            format!("device {index} sends to {to}: [{}]{about}", runs.join(", "))
        });
        let place = (send.relay, self.place_of(index, &send));
        let put = self.post.put((index, to), place, Rc::new(parcel), self.now, &mut self.dice, &mut self.tally);
        let reached = put.taken.then_some(reached);
        let (ticket, took) = (send.ticket, put.answered_after);
        let answer = Event::Answer { device: index, ticket, reached, bytes, took };
        self.queue_at(put.answered_after, answer);
        for (mail, after) in put.arriving {
            self.queue_at(after, Event::Arrive(mail));
        }
        Ok(())
    }

    fn acknowledge(&mut self, index: usize, delivery: Delivery) -> Held {
        let Some(mail) = self.post.mail(delivery.ticket).cloned() else { return Ok(()) };
        let Some(device) = self.devices.get(index) else { return Ok(()) };
        let model = device.disk.model();
        // Of those whose place on the roster was not known here nothing is kept; they send again.
        let heard = mail.parcel.runs.iter().map(Verified::get).filter(|run| !device.strangers.contains(&run.device));
        let heard = heard.filter(|_| !device.strangers.contains(&mail.parcel.letter.sender));
        // What a removal that came in the same group of inputs takes back is not kept either.
        let heard = heard.filter(|run| model.roster().removal(run.device).is_none());
        // An engine lets a source rest that it has taken back, also when the removal turns out void in the same round: it is restored after the
        // commit, shows where the source stands, and gets what lies beyond once more.
        let bundles = heard.flat_map(|run| &run.bundles).filter(|bundle| !device.cut.contains(&bundle.dot.source));
        for bundle in bundles {
            let kept = model.vector().covers(bundle.dot) || model.waits(bundle.dot);
            Broken::unless(kept, "what is acknowledged is on disk", || format!("device {index}: {:?}", bundle.dot))?;
        }
        self.post.acknowledge(delivery.ticket, &mut self.dice);
        Ok(())
    }
}
