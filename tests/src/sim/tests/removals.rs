//! What is left when a removed device's history leaves the log, in the real database and in the model beside it.

use std::sync::Arc;

use kinfolk_core::bundle::{Birth, Body, Bundle};
use kinfolk_core::clock::Stamp;
use kinfolk_core::ids::{BundleSeq, Dot, Hash, Seq, SourceId};
use kinfolk_core::op::Op;
use kinfolk_core::step::{Append, Change};
use kinfolk_core::value::Value;
use kinfolk_core::vector::Head;

use crate::sim::disk::Disk;
use crate::sim::people::{EPOCH, birth, device_id, founding, genesis};

#[test]
fn a_log_of_which_nothing_is_left_has_the_digest_of_an_empty_one() {
    let mut disk = Disk::new(birth(0, vec![genesis(), founding(0, 1, &genesis())]), true, None).unwrap();
    let empty = disk.digest();
    let (source, device) = (SourceId([9; 16]), device_id(1));
    let body = Body {
        birth: Some(Birth { device, generation: 1 }),
        stamp: Stamp(EPOCH.0 << 16),
        ops: vec![Op::record_put("notes", "a", vec![("x".into(), Some(Value::text("1")))])],
        ..Body::default()
    };
    let bundle = Bundle::write(Dot { source, seq: Seq(1) }, Hash::default(), body).unwrap();
    let (bundle_seq, context) = (BundleSeq(1), Arc::default());
    disk.apply(&Change::Append(Append { bundle, device, bundle_seq, context, at: EPOCH, app: None })).unwrap();
    disk.commit().unwrap();
    assert_ne!(disk.digest(), empty);
    disk.apply(&Change::Cut { source, end: Head::default() }).unwrap();
    disk.commit().unwrap();
    assert_eq!(disk.digest(), empty);
}
