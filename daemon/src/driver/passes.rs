//! Passes and the engine's gate: who waits for one, and when it shuts.
//!
//! The gate is open while parcels leave by themselves, and as long as any pass lasts. A pass begins in one round and is over in a later one:
//! when the engine says that nothing it had to bring out is under way any more.

use kinfolk_core::engine::{Engine, PassMark};
use tokio::sync::oneshot;

use super::DriverError;

type Reply = oneshot::Sender<Result<(), DriverError>>;

/// The passes of one driver.
#[derive(Default)]
pub(super) struct Passes {
    /// Parcels leave on a pass only.
    pub(super) held: bool,
    /// Those of this round, whose parcels are not under way yet.
    begun: Vec<Reply>,
    under_way: Vec<(PassMark, Reply)>,
}

impl Passes {
    /// Somebody asks for a pass.
    pub(super) fn begin(&mut self, reply: Reply) {
        self.begun.push(reply);
    }

    /// Whether parcels may leave now.
    pub(super) fn gate_open(&self) -> bool {
        !self.held || !self.begun.is_empty() || !self.under_way.is_empty()
    }

    /// The engine has settled: the parcels of those that began in this round are under way.
    pub(super) fn depart(&mut self, engine: &Engine) {
        let mark = engine.pass_mark();
        self.under_way.extend(self.begun.drain(..).map(|reply| (mark, reply)));
    }

    /// Answers for those that are over; says whether there were any.
    pub(super) fn end(&mut self, engine: &Engine) -> bool {
        let (over, under_way): (Vec<_>, _) = self.under_way.drain(..).partition(|(mark, _)| engine.is_pass_over(*mark));
        self.under_way = under_way;
        let any = !over.is_empty();
        // A caller that went away does not need its answer.
        over.into_iter().for_each(|(_, reply)| drop(reply.send(Ok(()))));
        any
    }

    /// The engine that they were marked in is gone.
    pub(super) fn fail(&mut self, fault: &DriverError) {
        let under_way = self.under_way.drain(..).map(|(_, reply)| reply);
        self.begun.drain(..).chain(under_way).for_each(|reply| drop(reply.send(Err(fault.clone()))));
    }
}
