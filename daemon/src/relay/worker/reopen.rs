//! Envelopes that were set aside, tried again.
//!
//! Where one lay is not kept with it: it is tried with each mailbox of this device, of which there are a handful.

use kinfolk_core::parcel::VerifiedParcel;
use kinfolk_core::roster::Roster;

use super::open::{self, Aside};
use crate::credentials::Credentials;
use crate::relay::Mailbox;

/// Opens and verifies the envelope with what is known by now; else why not, in words.
pub(crate) fn reopen(sealed: &[u8], credentials: &Credentials, roster: &Roster) -> Result<VerifiedParcel, String> {
    let mut reason = None;
    for mailbox in credentials.keyring().mailboxes() {
        match open::open(sealed, Mailbox(mailbox), credentials, roster) {
            Ok(parcel) => return Ok(parcel),
            Err(Aside::Removed) => reason = Some("a removed device wrote it".to_owned()),
            Err(Aside::Unopenable(why)) => reason = reason.or(Some(why)),
        }
    }
    Err(reason.unwrap_or_else(|| "this device has no mailbox".to_owned()))
}
