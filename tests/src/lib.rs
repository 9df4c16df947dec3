//! What whole-system tests and task programs share.
//!
//! The task programs behind the cargo aliases are binaries of this package (`src/bin/`); the tests of whole programs and frozen bytes are
//! in `tests/`; `golden/` holds the frozen bytes.

pub mod budgets;
pub mod e2e;
pub mod frozen;
pub mod servers;
pub mod sim;
pub mod source;
pub mod tidy;
pub mod tree;
