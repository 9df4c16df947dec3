//! Pairing cards from the clipboard: a text is a card, which then survives its own text, or it is refused.
#![no_main]

use kinfolk::seal::pairing::Card;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(card) = Card::parse(text) {
        let again = Card::parse(&card.to_text()).map(|again| again.hash());
        assert_eq!(again, Ok(card.hash()));
    }
});
