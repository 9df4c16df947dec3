//! Roster records: what is read is what would be written, as far as this version understands it.
#![no_main]

use kinfolk_core::roster::{Record, RosterChange};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(record) = Record::decode(bytes)
        && record.change != RosterChange::Unknown
    {
        assert_eq!(Record::decode(&record.encode()), Ok(record));
    }
});
