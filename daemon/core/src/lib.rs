//! The protocol of kinfolk, without I/O.
//!
//! Everything that decides lives here; everything that performs lives outside. The `Engine` takes an
//! `Input` and the time, and answers with `Output`s in an order that is the durability
//! rule: what a reply, a send or an acknowledgement rests on is committed by an output before it.
//!
//! **Invariant:** this crate touches no clock, randomness, file, socket, environment, thread or log. Time and randomness
//! are arguments. `.clippy.toml` beside it and the tidy test hold that.

pub mod clock;
pub mod ids;
pub mod value;
