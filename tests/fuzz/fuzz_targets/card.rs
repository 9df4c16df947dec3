//! Pairing cards: whatever text is pasted, reading answers, and what is read is written the same.
#![no_main]

use kinfolk::seal::pairing::Card;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(card) = Card::parse(text) {
        let again = Card::parse(&card.to_text()).expect("a card reads its own text");
        assert_eq!(again.hash(), card.hash());
    }
});
