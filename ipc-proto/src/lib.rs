//! The local API of kinfolk: what apps, `kin` and `kinfolkd` agree on.
//!
//! The contract is in `proto/kinfolk/v1/*.proto`, commented for app authors. [`v1`] is the Rust code generated from it
//! and committed (`cargo run -p kinfolk-tests --bin gen-protos` writes it anew).
//!
//! **Invariant:** this crate knows nothing of the daemon behind the socket.

pub mod client;
pub mod credential;
pub mod endpoint;
pub mod error;
pub mod outbox;
pub mod paths;
pub mod push;
pub mod watch;

/// Generated: messages, one module of client code and one of server code for each service.
#[expect(
    unused_qualifications,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated code is checked by its generator"
)]
#[rustfmt::skip]
#[path = "generated/kinfolk.v1.rs"]
pub mod v1;

/// The `.proto` files compiled, a serialized `google.protobuf.FileDescriptorSet`: what server reflection answers with.
pub const DESCRIPTORS: &[u8] = include_bytes!("generated/kinfolk.v1.bin");

/// The oldest version of the API that this crate speaks.
pub const PROTOCOL_MIN: u32 = 1;

/// The newest version of the API that this crate speaks.
pub const PROTOCOL_MAX: u32 = 1;

/// The largest request a daemon reads, in bytes: a bundle of 1 MiB and its framing, twice over.
pub const MAX_REQUEST_BYTES: usize = 2 << 20;

/// The largest reply a daemon sends, in bytes. A page of a list or a bundle of a watch stays below 1 MiB where its items
/// are not larger themselves; a record can grow by many writes of 1 MiB.
pub const MAX_REPLY_BYTES: usize = 16 << 20;

pub use client::{Client, Connect};
pub use credential::Credential;
pub use error::Error;
pub use paths::Paths;
