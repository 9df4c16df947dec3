//! kinfolkd: the library that the daemon and `kin` enter.
//!
//! Reading order: [`node`] (a device that is set up), [`driver`] (input → engine → outputs),
//! [`store`] (what is remembered), [`seal`] (all cryptography), [`relay`] (ways between devices), [`pairing`],
//! [`sync`] (when they are used), [`setup`] (how a device comes into being), [`credentials`] (its keys while it runs), [`apps`] (who else
//! may use it). What is decided, is decided in `kinfolk-core`.

pub mod apps;
pub mod config;
pub mod credentials;
pub mod daemon;
pub mod driver;
pub mod hops;
pub mod ipc;
pub mod logging;
pub mod node;
pub mod pairing;
pub mod relay;
pub mod seal;
pub mod setup;
pub mod shutdown;
pub mod store;
pub mod sync;
