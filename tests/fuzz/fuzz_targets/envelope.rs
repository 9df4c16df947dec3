//! Envelopes from relays: whatever lies in a mailbox, opening it answers.
#![no_main]

use kinfolk::seal::{GroupId, GroupSecret, Keyring, Prekey, open};
use kinfolk_core::ids::{DeviceId, Hash};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static KEYRING: LazyLock<Keyring> = LazyLock::new(|| Keyring {
    me: DeviceId([1; 16]),
    prekeys: Prekey::from_seed(0, &[2; 32]).into_iter().collect(),
    groups: vec![GroupSecret::from_secret(GroupId { number: 1, id: [3; 16] }, &[4; 32])],
    resting: Vec::new(),
    roster_id: Hash([5; 32]),
});

fuzz_target!(|bytes: &[u8]| {
    let mailbox = KEYRING.groups[0].mailbox(KEYRING.me, 0);
    assert!(open(bytes, mailbox, &KEYRING).is_err(), "bytes that nobody sealed were opened");
});
