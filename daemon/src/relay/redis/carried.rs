//! Small mail that comes along with the message that announces it, so that the fetch after the hint needs no round trip.
//!
//! Such a message also says the era of the mailbox and the highest score before. A fetch is answered from here only if what came along is
//! exactly what lies behind the cursor: same era, and each envelope follows on the score that the cursor or the one before has reached. Anything else
//! (a message was lost, a larger envelope came between, the cursor is from nothing) asks the server. What is here is handed out once or forgotten.

use std::collections::BTreeMap;
use std::sync::Mutex;

use bytes::Bytes;

use super::bells::lock;
use super::collect::{self, Place};
use crate::relay::mail::{Delivery, Fetched, Mailbox, Want};

/// Most envelopes kept for a mailbox: 16, of at most [`MAX_MESSAGE`] each. More than that is fetched.
const MAX_KEPT: usize = 16;
/// Longest message that is kept: an envelope of 4 KiB and three words.
const MAX_MESSAGE: usize = 4096 + 128;

/// What came along and was not fetched yet.
#[derive(Debug, Default)]
pub(super) struct Carried(Mutex<BTreeMap<Mailbox, Vec<Letter>>>);

/// One envelope, and what it follows on.
#[derive(Debug)]
struct Letter {
    era: Bytes,
    before: Bytes,
    score: Bytes,
    delivery: Delivery,
}

impl Carried {
    /// A message came. One that carries nothing leaves a hole, and so does one too many.
    pub(super) fn keep(&self, mailbox: Mailbox, message: &[u8]) {
        let mut kept = lock(&self.0);
        let letters = kept.entry(mailbox).or_default();
        match Letter::read(message) {
            Some(letter) if letters.len() < MAX_KEPT => letters.push(letter),
            Some(_) | None => letters.clear(),
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        lock(&self.0).clear();
    }

    /// The answer to a fetch, if something came along and all that came along is just what follows on the cursors.
    pub(super) fn answer(&self, wants: &[Want], max_bytes: usize) -> Option<Vec<Fetched>> {
        let mut kept = lock(&self.0);
        let letters: Vec<Vec<Letter>> =
            wants.iter().map(|want| kept.remove(&want.mailbox).unwrap_or_default()).collect();
        drop(kept);
        let bytes: usize = letters.iter().flatten().map(|letter| letter.delivery.envelope.sealed.len()).sum();
        if bytes > max_bytes || letters.iter().all(Vec::is_empty) {
            return None;
        }
        wants.iter().zip(letters).map(|(want, letters)| follow(want, letters)).collect()
    }
}

/// `None` when the letters do not follow on the cursor, and when there is none.
fn follow(want: &Want, letters: Vec<Letter>) -> Option<Fetched> {
    let mut place = want.after.as_ref().and_then(Place::decode)?;
    let mut mail = Vec::with_capacity(letters.len());
    for letter in letters {
        if letter.era != place.era || letter.before != place.score {
            return None;
        }
        place.score = letter.score;
        place.member = Bytes::new();
        mail.push(letter.delivery);
    }
    Some(Fetched { mailbox: want.mailbox, mail, cursor: place.encode(), more: false, torn: 0 })
}

impl Letter {
    /// `None` when a message carries nothing that can be handed out.
    fn read(message: &[u8]) -> Option<Self> {
        if message.len() > MAX_MESSAGE {
            return None;
        }
        let mut parts = message.splitn(4, |byte| *byte == b' ').map(Bytes::copy_from_slice);
        let (era, before, score, member) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        if !collect::is_score(&score) {
            return None;
        }
        let delivery = collect::delivery(member, &score)?;
        Some(Self { era, before, score, delivery })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::conformance::mailbox;

    fn message(before: u64, score: u64) -> Vec<u8> {
        let mut message = format!("era {before} {score} ").into_bytes();
        message.extend([b' '; 16]);
        message.extend(format!("sealed {score}").bytes());
        message
    }

    fn want(number: u8, score: &'static str) -> Want {
        let place =
            Place { era: Bytes::from_static(b"era"), score: Bytes::from_static(score.as_bytes()), ..Place::default() };
        Want { mailbox: mailbox(number), after: place.encode() }
    }

    #[test]
    fn what_follows_on_the_cursor_is_handed_out_once() {
        let carried = Carried::default();
        carried.keep(mailbox(1), &message(5, 7));
        carried.keep(mailbox(1), &message(7, 8));
        let answers = carried.answer(&[want(2, "3"), want(1, "5")], 1000).unwrap();
        assert_eq!((answers[0].mail.len(), &answers[0].cursor), (0, &want(2, "3").after));
        let sealed: Vec<&[u8]> = answers[1].mail.iter().map(|delivery| &delivery.envelope.sealed[..]).collect();
        assert_eq!(sealed, [b"sealed 7", b"sealed 8"]);
        assert_eq!(answers[1].cursor, want(1, "8").after);
        assert_eq!(carried.answer(&[want(1, "8")], 1000), None, "nothing came since");
    }

    #[test]
    fn whatever_does_not_follow_asks_the_server() {
        let carried = Carried::default();
        for (messages, want, max_bytes) in [
            (vec![message(5, 7)], want(1, "4"), 1000),
            (vec![message(5, 7), message(8, 9)], want(1, "5"), 1000),
            (vec![message(5, 7)], want(1, "5"), 1),
            (vec![message(5, 7)], Want::all(mailbox(1)), 1000),
            // What announced a larger envelope carries nothing.
            (vec![message(5, 7), b"9".to_vec()], want(1, "5"), 1000),
            (vec![b"era 5 7 short".to_vec()], want(1, "5"), 1000),
            (vec![b"other 5 7 0123456789abcdef".to_vec()], want(1, "5"), 1000),
        ] {
            messages.iter().for_each(|message| carried.keep(mailbox(1), message));
            assert_eq!(carried.answer(std::slice::from_ref(&want), max_bytes), None, "{messages:?}");
            assert!(lock(&carried.0).is_empty(), "it is handed out once or forgotten");
        }
    }

    #[test]
    fn a_server_that_keeps_talking_fills_no_memory() {
        let carried = Carried::default();
        for score in 0..1000 {
            carried.keep(mailbox(1), &message(score, score + 1));
            assert!(lock(&carried.0)[&mailbox(1)].len() <= MAX_KEPT);
        }
        carried.keep(mailbox(1), &vec![b' '; MAX_MESSAGE + 1]);
        assert!(lock(&carried.0)[&mailbox(1)].is_empty());
    }
}
