use super::*;
use crate::bundle::Body;
use crate::clock::Stamp;

fn chain(source: SourceId, length: u64) -> Vec<Bundle> {
    let mut bundles: Vec<Bundle> = Vec::new();
    for seq in 1..=length {
        let prev = bundles.last().map_or(Hash::default(), |bundle| bundle.hash);
        let body = Body { stamp: Stamp(seq), ..Body::default() };
        bundles.push(Bundle::write(Dot { source, seq: Seq(seq) }, prev, body).unwrap());
    }
    bundles
}

fn run_of(bundles: &[Bundle]) -> RunBodies {
    RunBodies {
        device: DeviceId([1; 16]),
        source: bundles[0].dot.source,
        first: bundles[0].dot.seq,
        prev: bundles[0].prev,
        bodies: bundles.iter().map(|bundle| bundle.bytes.clone()).collect(),
        signature: Bytes::from_static(&[9; 64]),
    }
}

#[test]
fn a_parcel_survives_its_bytes_and_runs_are_rebuilt_bit_for_bit() {
    let bundles = chain(SourceId([3; 16]), 5);
    let mut letter = Letter::bare(DeviceId([1; 16]), Millis(7));
    letter.receipt.generation = 4;
    letter.receipt.vector.advance(SourceId([3; 16]), bundles[4].head());
    letter.wants.push(Want { source: SourceId([5; 16]), after: Seq(1), upto: Seq(9), exact: true });
    letter.digest = Some(Hash([2; 32]));
    letter.sums = Some(vec![("notes".into(), Sum::default())]);
    let bytes = encode(&letter, &[run_of(&bundles[1..])]).unwrap();
    let parcel = Parcel::decode(&bytes).unwrap();
    assert_eq!(parcel.letter, letter);
    assert_eq!(parcel.runs[0].bundles, bundles[1..]);
    assert_eq!(parcel.runs[0].signed_head().unwrap().head, bundles[4].head());
}

#[test]
fn a_cut_or_reordered_run_has_another_head() {
    let bundles = chain(SourceId([3; 16]), 3);
    let mut swapped = run_of(&bundles);
    swapped.bodies.swap(0, 1);
    let bytes = encode(&Letter::bare(DeviceId([1; 16]), Millis(0)), &[swapped]).unwrap();
    let head = Parcel::decode(&bytes).unwrap().runs[0].signed_head().unwrap().head;
    assert_ne!(head, bundles[2].head());
}

#[test]
fn a_parcel_of_countless_empty_parts_is_refused_before_it_is_decoded() {
    let empty_runs = [0x32, 0].repeat(MAX_PARCEL / 2);
    assert_eq!(Parcel::decode(&empty_runs), Err(ParcelError::Malformed("more parts than a parcel may have")));
    let mut run = run_of(&chain(SourceId([3; 16]), 1));
    run.bodies = vec![Bytes::new(); MAX_BODIES + 1];
    let bytes = encode(&Letter::bare(DeviceId([1; 16]), Millis(0)), &[run]).unwrap();
    assert_eq!(Parcel::decode(&bytes), Err(ParcelError::Malformed("more bundles than a parcel may have")));
    let sums = Some(vec![("x".into(), Sum::default()); MAX_SUMS + 1]);
    let bytes = encode(&Letter { sums, ..Letter::bare(DeviceId([1; 16]), Millis(0)) }, &[]).unwrap();
    assert_eq!(Parcel::decode(&bytes), Err(ParcelError::Malformed("more entries than a parcel may have")));
}

#[test]
fn what_a_newer_version_adds_to_a_parcel_does_not_hide_the_rest() {
    let letter = Letter { op_level: OP_LEVEL + 1, ..Letter::bare(DeviceId([1; 16]), Millis(7)) };
    let bundles = chain(SourceId([3; 16]), 2);
    let mut bytes = encode(&letter, &[run_of(&bundles)]).unwrap();
    // Field 99, three bytes long.
    bytes.extend_from_slice(&[0x9A, 0x06, 3, 1, 2, 3]);
    let parcel = Parcel::decode(&bytes).unwrap();
    assert_eq!(parcel.letter, letter);
    assert_eq!(parcel.runs[0].bundles, bundles);
}

#[test]
fn strange_bytes_are_refused() {
    assert!(Parcel::decode(&[0xFF; 100]).is_err());
    assert_eq!(Parcel::decode(&vec![0; MAX_PARCEL + 1]), Err(ParcelError::TooLarge(MAX_PARCEL + 1)));
    let mut run = run_of(&chain(SourceId([3; 16]), 1));
    run.bodies.clear();
    let bytes = encode(&Letter::bare(DeviceId([1; 16]), Millis(0)), &[run]).unwrap();
    assert!(Parcel::decode(&bytes).is_err());
}

#[test]
fn each_list_of_a_parcel_has_a_limit_of_its_own() {
    let bare = || Letter::bare(DeviceId([1; 16]), Millis(0));
    let source = |n: usize| SourceId(std::array::from_fn(|at| n.to_be_bytes().get(at).copied().unwrap_or(1)));
    let head = Head { seq: Seq(1), hash: Hash([7; 32]) };
    let want = |n: usize| Want { source: source(n), after: Seq(0), upto: Seq(1), exact: false };
    let ended = |n: usize| Ended { source: source(n), ..Ended::default() };
    let given = || GivenEpoch { epoch: Epoch { number: 1, id: [1; 16] }, gift: Bytes::from_static(&[1]) };
    let one = chain(SourceId([3; 16]), 1);
    let other = Bundle::write(one[0].dot, one[0].prev, Body { stamp: Stamp(9), ..Body::default() }).unwrap();
    let fork = [&one[0], &other].map(|bundle| run_of(std::slice::from_ref(bundle)).rebuild().unwrap());
    let fork = Evidence::of(fork.into()).unwrap();
    let parcel = |kind: &str, count: usize| {
        let mut letter = bare();
        match kind {
            "vector" => letter.receipt.vector = (0..count).map(|n| (source(n), head)).collect(),
            "wants" => letter.wants = (0..count).map(want).collect(),
            "ended" => letter.ended = (0..count).map(ended).collect(),
            "sums" => letter.sums = Some((0..count).map(|n| (format!("{n:04}"), Sum::default())).collect()),
            "epochs" => letter.epochs = vec![given(); count],
            "evidence" => letter.evidence = vec![fork.clone(); count],
            other => assert_eq!(other, "runs"),
        }
        let runs = if kind == "runs" { vec![run_of(&one); count] } else { Vec::new() };
        Parcel::decode(&encode(&letter, &runs).unwrap())
    };
    let limits = [
        ("runs", MAX_RUNS),
        ("vector", MAX_VECTOR),
        ("wants", MAX_VECTOR),
        ("ended", MAX_ENDED),
        ("sums", MAX_SUMS),
        ("epochs", MAX_GIVEN),
        ("evidence", MAX_PIECES),
    ];
    for (kind, most) in limits {
        assert!(parcel(kind, most).is_ok(), "{most} of {kind}: {:?}", parcel(kind, most));
        let more = Err(ParcelError::Malformed("more entries than a parcel may have"));
        assert_eq!(parcel(kind, most + 1), more, "{most} of {kind} and one more");
    }
    let mut run = run_of(&one);
    run.bodies = vec![Bytes::new(); MAX_BODIES];
    assert!(Parcel::decode(&encode(&bare(), &[run]).unwrap()).is_ok());
}

#[test]
fn a_parcel_may_have_exactly_its_largest_size() {
    let letter = Letter::bare(DeviceId([1; 16]), Millis(0));
    let mut run = run_of(&chain(SourceId([3; 16]), 1));
    run.bodies = vec![Bytes::from(vec![0; 1 << 20]), Bytes::from(vec![0; 200_000])];
    let short = MAX_PARCEL - encode(&letter, std::slice::from_ref(&run)).unwrap().len();
    run.bodies[1] = Bytes::from(vec![0; 200_000 + short]);
    assert_eq!(encode(&letter, std::slice::from_ref(&run)).unwrap().len(), MAX_PARCEL);
    run.bodies[1] = Bytes::from(vec![0; 200_001 + short]);
    assert_eq!(encode(&letter, &[run]), Err(ParcelError::TooLarge(MAX_PARCEL + 1)));
}

#[test]
fn of_a_source_of_which_nothing_stands_no_hash_is_written() {
    assert_eq!(EndedWire::from(&Ended::default()).hash, Vec::<u8>::new());
}

#[test]
fn limits_that_devices_must_agree_on_are_these_numbers() {
    assert_eq!((MAX_PARCEL, RUN_TARGET, MAX_RUNS, MAX_BODIES), (1_310_720, 262_144, 64, 32_768));
    assert_eq!((MAX_VECTOR, MAX_ENDED, MAX_SUMS, MAX_RECORDS), (1_024, 256, 512, 4_096));
    assert_eq!((crate::roster::MAX_RECORD_BYTES, crate::bundle::MAX_BODY), (8_192, 1_048_519));
    assert_eq!((crate::snapshot::CHUNK_TARGET, crate::snapshot::MAX_ENTRIES), (1_048_576, 16_384));
    assert_eq!((crate::snapshot::MAX_ENDS_BYTES, crate::evidence::MAX_TOLD), (655_360, 1_048_576));
}

#[test]
fn a_parcel_of_as_many_parts_as_all_its_lists_may_have_is_decoded_and_of_many_more_is_not() {
    // Field 99, empty: 64 runs, 2 × 1,024 heads and wants, 4,096 records, 1,024 relays, 256, 512, 8 and 2 × 64 are 8,136; beside them some
    // kinds that stand once, less than 128.
    let refused = |parts: usize| Parcel::decode(&[0x9A, 0x06, 0].repeat(parts)).unwrap_err();
    assert_eq!(refused(8_136 + 24), ParcelError::Malformed("unknown version"));
    assert_eq!(refused(8_136 + 128), ParcelError::Malformed("more parts than a parcel may have"));
}

#[test]
fn a_run_has_a_first_position_a_body_and_a_whole_signature() {
    let whole = run_of(&chain(SourceId([3; 16]), 1));
    assert!(whole.rebuild().is_ok());
    assert!(RunBodies { first: Seq::ZERO, ..whole.clone() }.rebuild().is_err());
    assert!(RunBodies { bodies: Vec::new(), ..whole.clone() }.rebuild().is_err());
    for signature in [0, 63, 65] {
        assert!(RunBodies { signature: vec![9; signature].into(), ..whole.clone() }.rebuild().is_err());
    }
}
