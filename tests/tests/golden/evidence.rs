//! Evidence, and what it brings about.

use kinfolk_core::bundle::{Body, Bundle};
use kinfolk_core::clock::Stamp;
use kinfolk_core::evidence::{self, Evidence};
use kinfolk_core::ids::{Dot, Hash, Seq};
use kinfolk_core::parcel::{self, Letter, Parcel, Run, Want};

use super::core::{DEVICE, OTHER, SIGNATURE, SOURCE, STAMP, bare, first_body, frozen, second_body};

#[test]
fn evidence_and_what_it_brings_about_keep_their_bytes() {
    let begun = Bundle::write(Dot { source: SOURCE, seq: Seq(1) }, Hash::default(), first_body()).unwrap();
    let dot = Dot { source: SOURCE, seq: Seq(2) };
    let runs = [second_body(), Body { stamp: Stamp(STAMP.0 + 2), ..Body::default() }].map(|body| {
        let bundles = vec![Bundle::write(dot, begun.hash, body).unwrap()];
        Run { device: DEVICE, bundles, signature: SIGNATURE }
    });
    let evidence = Evidence::of(Vec::from(runs)).unwrap();
    let file = frozen("evidence", "two bundles that follow one and the same", &evidence.to_bytes());
    assert_eq!(Evidence::from_bytes(&file).as_ref(), Some(&evidence));
    assert_eq!(evidence.verdict().end, begun.head());
    let summary = evidence::summary([&evidence.verdict()]).unwrap();
    frozen("evidence-summary", "hash over where that source ends", &summary.0);

    let letter = Letter {
        verdicts: Some(summary),
        evidence: vec![evidence.clone()],
        wants: vec![Want { source: SOURCE, after: Seq(1), upto: Seq(4), exact: true }],
        ..bare(1_767_323_045_678)
    };
    let today = parcel::encode(&letter, &[]).unwrap();
    let file = frozen("parcel-evidence", "a letter that tells evidence and asks where two histories part", &today);
    assert_eq!(Parcel::decode(&file).unwrap(), Parcel { letter, runs: Vec::new() });

    let again = Body { origin: Some((SOURCE, evidence.runs()[0].bundles[0].head())), ..second_body() };
    let again = Bundle::write(Dot { source: OTHER, seq: Seq(1) }, Hash::default(), again).unwrap();
    let file = frozen("body-again", "the body of a bundle that stands for another", &again.bytes);
    let read = Bundle::rebuild(again.dot, again.prev, file).unwrap();
    assert_eq!(read.body, again.body);
}
