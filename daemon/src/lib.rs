//! kinfolkd: the library that the daemon and `kin` enter.

pub mod relay;
pub mod seal;
pub mod store;
