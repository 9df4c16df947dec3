//! The protocol of kinfolk, without I/O.
//!
//! Everything that decides lives here; everything that performs lives outside. The [`Engine`](engine::Engine) takes an
//! [`Input`](step::Input) and the time, and answers with [`Output`](step::Output)s in an order that is the durability
//! rule: what a reply, a send or an acknowledgement rests on is committed by an output before it.
//!
//! Reading order: [`ids`], [`clock`], [`value`], [`op`], [`conversation`], [`marker`], [`vector`], [`bundle`], [`merge`], [`digest`], [`epoch`], [`prekey`], [`roster`],
//! [`parcel`], [`evidence`], [`compact`], [`snapshot`], [`stub`], [`bodies`], [`contents`], [`lane`], [`early`], [`look`], [`step`], [`engine`].
//!
//! **Invariant:** this crate touches no clock, randomness, file, socket, environment, thread or log. Time and randomness
//! are arguments. `.clippy.toml` beside it and the tidy test hold that.

pub mod bodies;
mod bound;
pub mod bundle;
pub mod clock;
pub mod compact;
pub mod contents;
pub mod conversation;
pub mod digest;
pub mod early;
pub mod engine;
pub mod epoch;
pub mod evidence;
pub mod history;
pub mod ids;
pub mod lane;
pub mod look;
pub mod marker;
pub mod merge;
pub mod op;
pub mod parcel;
pub mod prekey;
pub mod resolve;
pub mod roster;
pub mod snapshot;
pub mod step;
pub mod stub;
pub mod value;
pub mod vector;
