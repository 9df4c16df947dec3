//! What the cipher alone costs: one envelope with one live event, by the daemon's own functions.

use std::time::{Duration, Instant};

use kinfolk::seal::{GroupSecret, Identity, Keyring, Prekey, Recipient, Sender, open, seal};
use kinfolk_core::ids::{DeviceId, Hash};

use super::percentile;
use crate::budgets::BudgetError;

/// Medians over [`ENVELOPES`].
#[derive(Clone, Copy, Debug)]
pub struct Sealing {
    /// Compress, sign, encapsulate, encrypt.
    pub seal: Duration,
    /// Decapsulate, decrypt, expand, verify.
    pub open: Duration,
}

/// Seals and opens parcels of [`PARCEL`] bytes.
///
/// # Errors
/// When the cipher refuses its own work.
pub fn sealing() -> Result<Sealing, BudgetError> {
    let broken = |error: &dyn std::fmt::Display| BudgetError::Unexpected(format!("the cipher: {error}"));
    let mut rng = rand::rng();
    let (identity, group) = (Identity::generate(&mut rng), GroupSecret::generate(1, &mut rng));
    let (from, to, roster_id) = (DeviceId([1; 16]), DeviceId([2; 16]), Hash([3; 32]));
    let prekey = Prekey::generate(1, &mut rng).map_err(|error| broken(&error))?;
    let public = prekey.public();
    let (prekeys, groups, resting) = (vec![prekey], vec![group.clone()], Vec::new());
    let keyring = Keyring { me: to, prekeys, groups, resting, roster_id };
    let mailbox = group.mailbox(to, 1);
    let parcel = vec![0xA5; PARCEL];
    let (mut seals, mut opens) = (Vec::with_capacity(ENVELOPES), Vec::with_capacity(ENVELOPES));
    for _ in 0..ENVELOPES {
        let (sender, recipient) =
            (Sender { device: from, identity: &identity }, Recipient { device: to, slot: 1, prekey: &public });
        let begin = Instant::now();
        let sealed = seal(&parcel, sender, recipient, &group, roster_id, &mut rng).map_err(|error| broken(&error))?;
        seals.push(begin.elapsed());
        let begin = Instant::now();
        let opened = open(&sealed, mailbox, &keyring).map_err(|error| broken(&error))?;
        opened.verify(&identity.public()).map_err(|error| broken(&error))?;
        opens.push(begin.elapsed());
    }
    seals.sort();
    opens.sort();
    Ok(Sealing { seal: percentile(&seals, 0.5), open: percentile(&opens, 0.5) })
}

const ENVELOPES: usize = 200;
/// A live event of 256 characters with its letter.
const PARCEL: usize = 600;
