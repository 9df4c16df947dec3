//! Frozen bytes: what is on disks and on the wire must be read, and written, for ever.
//!
//! Every test encodes fixed input, compares with the golden file, and decodes the file. See `kinfolk_tests::frozen`.
#![expect(clippy::panic, clippy::unwrap_used, reason = "in a test, what is unexpected fails it")]

#[path = "golden/bodies.rs"]
mod bodies;
#[path = "golden/core.rs"]
mod core;
#[path = "golden/evidence.rs"]
mod evidence;
