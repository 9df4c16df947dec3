//! The rules of the protocol, one test each, on a handful of engines in virtual time.

mod bridges;
mod causal;
mod clocks;
mod compaction;
mod comparing;
mod disk;
mod epochs;
mod forks;
mod hydration;
mod lanes;
mod local;
mod mailboxes;
mod pairing;
mod passes;
mod receipts;
mod refused;
mod relays;
mod removals;
mod repairs;
mod restarts;
mod retire;
mod script;
mod silence;
mod standing;
mod withheld;
mod world;
