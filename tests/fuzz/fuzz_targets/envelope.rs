//! Envelopes from a relay: nobody without the keys can make one that opens.
#![no_main]

use std::sync::LazyLock;

use kinfolk::seal::{GroupId, GroupSecret, Keyring, Mailbox, Prekey, open};
use kinfolk_core::ids::{DeviceId, Hash};
use libfuzzer_sys::fuzz_target;

static KEYS: LazyLock<(Keyring, Mailbox)> = LazyLock::new(|| {
    let me = DeviceId([1; 16]);
    let group = GroupSecret::from_secret(GroupId { number: 1, id: [2; 16] }, &[3; 32]);
    let mailbox = group.mailbox(me, 0);
    let keyring = Keyring { me, prekeys: vec![Prekey::from_seed(0, &[4; 32]).expect("any seed is a prekey")], groups: vec![group], roster_id: Hash::default() };
    (keyring, mailbox)
});

fuzz_target!(|bytes: &[u8]| {
    assert!(open(bytes, KEYS.1, &KEYS.0).is_err());
});
