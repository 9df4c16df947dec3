//! kinfolkd: the library that the daemon and `kin` enter.

pub mod seal;
pub mod store;
