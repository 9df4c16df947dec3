//! Contents that are elsewhere: what letters say of them, and what is left in the log.

use bytes::Bytes;
use kinfolk_core::bodies::Bodies;
use kinfolk_core::contents::{Content, Contents, Wanted};
use kinfolk_core::ids::Hash;
use kinfolk_core::op::{KIND_MESSAGE_STUB, Meaning, MessageBody, Op};
use kinfolk_core::parcel::{self, Letter, Parcel};
use kinfolk_core::stub::{Elsewhere, Stub};
use prost::Message;

use crate::core::{bare, frozen, message_body};

#[test]
fn what_is_said_and_left_of_contents_that_are_elsewhere_keeps_its_bytes() {
    let bodies = Bodies { asks: 1_767_323_045_000, word: 1_767_323_045_001, prunes: true, lacks: 300 };
    let letter = Letter { bodies, ..bare(1_767_323_045_678) };
    let file =
        frozen("parcel-bodies", "a letter that asks and promises to keep", &parcel::encode(&letter, &[]).unwrap());
    assert_eq!(Parcel::decode(&file).unwrap().letter, letter);

    let contents = Contents {
        wanted: vec![Wanted { content: Hash([0x31; 32]), id: "m-1".into() }],
        given: vec![Content { id: "m-2".into(), payload: Bytes::from_static(b"a payload") }],
        missing: vec![Wanted { content: Hash([0x32; 32]), id: "m-3".into() }],
    };
    let letter = Letter { contents, ..bare(1_767_323_045_678) };
    let today = parcel::encode(&letter, &[]).unwrap();
    let file = frozen("parcel-contents", "a letter that asks for a content, gives one and lacks one", &today);
    assert_eq!(Parcel::decode(&file).unwrap().letter, letter);

    let whole = message_body();
    let content = Elsewhere::of(&whole.encode_to_vec());
    let post = MessageBody { text: String::new(), bytes: Vec::new(), attachments: Vec::new(), ..whole };
    let stub = Stub { post, content };
    let op = Op { kind: KIND_MESSAGE_STUB, payload: stub.to_payload(), ..Op::message_delete("m-1", None) };
    let file = frozen("op-message-stub", "what is left of a post", &op.encode_to_vec());
    assert_eq!(Op::decode(file).unwrap().meaning(), Meaning::MessageStub(Box::new(stub)));
}
