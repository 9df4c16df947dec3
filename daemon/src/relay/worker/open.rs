//! Envelopes of this device's mailboxes: opened, verified, and what they give wrapped for the store.

use std::sync::Arc;

use bytes::Bytes;
use kinfolk_core::parcel::VerifiedParcel;
use kinfolk_core::roster::Roster;

use crate::credentials::Credentials;
use crate::relay::Mailbox;
use crate::seal::{self, VerifyError};

/// Why an envelope brings nothing.
pub(super) enum Aside {
    /// A removed device wrote it, which may do so as often as it likes.
    Removed,
    /// Anything else, in words.
    Unopenable(String),
}

/// A large envelope is opened away from the event loop.
pub(super) async fn open_off_loop(
    sealed: &Bytes,
    mailbox: Mailbox,
    credentials: &Arc<Credentials>,
    roster: Arc<Roster>,
) -> Result<VerifiedParcel, Aside> {
    if sealed.len() <= LIVE_BYTES {
        return open(sealed, mailbox, credentials, &roster);
    }
    let (sealed, credentials) = (sealed.clone(), Arc::clone(credentials));
    let opened = tokio::task::spawn_blocking(move || open(&sealed, mailbox, &credentials, &roster)).await;
    opened.unwrap_or_else(|error| Err(Aside::Unopenable(error.to_string())))
}

/// Opens and verifies an envelope of `mailbox`.
pub(super) fn open(
    sealed: &[u8],
    mailbox: Mailbox,
    credentials: &Credentials,
    roster: &Roster,
) -> Result<VerifiedParcel, Aside> {
    let opened = seal::open(sealed, mailbox.0, &credentials.keyring());
    let opened = opened.map_err(|error| Aside::Unopenable(error.to_string()))?;
    let (under, slot) = (opened.epoch(), opened.slot());
    let mut parcel = seal::verify(opened, roster).map_err(|error| match error {
        VerifyError::Removed { .. } => Aside::Removed,
        VerifyError::Parcel(_)
        | VerifyError::Sender { .. }
        | VerifyError::Stranger { .. }
        | VerifyError::Signature(_) => Aside::Unopenable(error.to_string()),
    })?;
    credentials.receive(&mut parcel, under, slot);
    Ok(parcel)
}

/// Up to so many bytes are opened on the event loop: about 0.4 ms.
const LIVE_BYTES: usize = 16 << 10;
