//! What apps do: a few records and messages that many devices write at once, so that they meet.

use kinfolk_core::op::{Level, MessageBody, Op};
use kinfolk_core::value::Value;

use super::dice::Dice;

/// The ops of one push.
pub(super) fn push(dice: &mut Dice, large: bool) -> Vec<Op> {
    let count = if dice.chance(70) { 1 } else { dice.between(2, 4) };
    (0..count).map(|_| op(dice, large)).collect()
}

fn op(dice: &mut Dice, large: bool) -> Op {
    let record = (format!("r{}", dice.below(2)), format!("k{}", dice.below(5)));
    let message = format!("m{}", dice.below(12));
    match dice.below(100) {
        0..40 => Op::record_put(&record.0, &record.1, fields(dice, large)),
        40..50 => Op::record_delete(&record.0, &record.1),
        50..78 => Op::message_post(&message, &body(dice)),
        78..96 => {
            let level = *dice.pick(&Level::ALL).unwrap_or(&Level::Read);
            Op::message_status(&message, level, moment(dice))
        }
        _ => Op::message_delete(&message, moment(dice)),
    }
}

/// One to three different fields with one of a few values, now and then none.
fn fields(dice: &mut Dice, large: bool) -> Vec<(String, Option<Value>)> {
    let first = dice.below(3);
    let value = |dice: &mut Dice| match dice.below(8) {
        0 => None,
        1 => Some(Value::int(7)),
        2 if large => Some(Value::text("x".repeat(usize::try_from(dice.below(300_000)).unwrap_or_default()))),
        n => Some(Value::text(format!("v{}", n % 4))),
    };
    (0..dice.between(1, 3)).map(|n| (format!("f{}", (first + n) % 3), value(dice))).collect()
}

fn body(dice: &mut Dice) -> MessageBody {
    MessageBody {
        conversation: format!("c{}", dice.below(3)),
        sender: "somebody".into(),
        outbound: dice.chance(40),
        text: format!("text {}", dice.below(3)),
        created_us: moment(dice),
        ..MessageBody::default()
    }
}

fn moment(dice: &mut Dice) -> Option<i64> {
    let at = i64::try_from(dice.below(1_000)).unwrap_or_default();
    dice.chance(50).then_some(1_700_000_000_000_000 + at)
}
