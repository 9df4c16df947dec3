//! Contents that are elsewhere: what letters say of them, and what is left in the log.

use kinfolk_core::bodies::Bodies;
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

    let whole = message_body();
    let content = Elsewhere::of(&whole.encode_to_vec());
    let post = MessageBody { text: String::new(), bytes: Vec::new(), attachments: Vec::new(), ..whole };
    let stub = Stub { post, content };
    let op = Op { kind: KIND_MESSAGE_STUB, payload: stub.to_payload(), ..Op::message_delete("m-1", None) };
    let file = frozen("op-message-stub", "what is left of a post", &op.encode_to_vec());
    assert_eq!(Op::decode(file).unwrap().meaning(), Meaning::MessageStub(Box::new(stub)));
}
