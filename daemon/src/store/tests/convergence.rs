//! The same bundles in any causal order give the same state.

use proptest::prelude::*;
use proptest::sample::Index;

use super::markers::a_marker;
use super::*;
use kinfolk_core::op::{Level, MessageBody, Op};
use kinfolk_core::value::Value;

/// What one of the authors does next.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Write(Vec<Op>),
    /// Takes note of one of the bundles that it can take note of.
    See(Index),
}

/// Few names, so that writes meet.
fn an_op() -> impl Strategy<Value = Op> {
    let name = || prop::sample::select(vec!["a", "b"]);
    let field = (name(), prop::option::of(0..3_i64)).prop_map(|(name, value)| (name.to_owned(), value.map(Value::int)));
    let level = prop::sample::select(Level::ALL.to_vec());
    prop_oneof![
        4 => (name(), prop::collection::btree_map(name().prop_map(str::to_owned), prop::option::of(0..3_i64), 0..3))
            .prop_map(|(key, fields)| {
                let fields = fields.into_iter().map(|(name, value)| (name, value.map(Value::int))).collect();
                Op::record_put("notes", key, fields)
            }),
        1 => (name(), field).prop_map(|(key, field)| Op::record_put("@conversation", key, vec![field])),
        1 => name().prop_map(|key| Op::record_delete("@conversation", key)),
        2 => (name(), name(), a_marker()).prop_map(|(conversation, device, marker)| marker.op(conversation, device)),
        2 => name().prop_map(|key| Op::record_delete("notes", key)),
        4 => (name(), name(), any::<bool>(), prop::option::of(0..3_i64)).prop_map(|(id, conversation, outbound, created_us)| {
            // What came in is long enough to be kept elsewhere.
            let more = if outbound { "" } else { " and so on" };
            let (conversation, text) = (conversation.to_owned(), format!("text {outbound}{}", more.repeat(40)));
            Op::message_post(id, &MessageBody { conversation, text, outbound, created_us, ..MessageBody::default() })
        }),
        3 => (name(), level, prop::option::of(0..3_i64)).prop_map(|(id, level, at)| Op::message_status(id, level, at)),
        1 => (name(), prop::option::of(0..3_i64)).prop_map(|(id, at)| Op::message_delete(id, at)),
    ]
}

pub(super) fn a_history() -> impl Strategy<Value = Vec<(usize, Step)>> {
    let step = prop_oneof![
        2 => prop::collection::vec(an_op(), 1..4).prop_map(Step::Write),
        3 => any::<Index>().prop_map(Step::See),
    ];
    prop::collection::vec((0..3_usize, step), 1..40)
}

/// Plays the history; gives all bundles in one causal order.
pub(super) fn play(history: &[(usize, Step)]) -> Vec<Written> {
    let mut authors = [Author::new(1, 100), Author::new(2, 50), Author::new(3, 100)];
    let mut all: Vec<Written> = Vec::new();
    for (who, step) in history {
        let author = &mut authors[*who];
        match step {
            Step::Write(ops) => all.push(author.write(ops.clone())),
            Step::See(which) => {
                let ready: Vec<&Written> = all.iter().filter(|written| author.is_next(written)).collect();
                if !ready.is_empty() {
                    let next: &&Written = which.get(&ready);
                    author.see(next);
                }
            }
        }
    }
    all
}

/// Another causal order of the same bundles.
pub(super) fn reorder(all: &[Written], choices: &[Index]) -> Vec<Written> {
    let mut reader = Author::new(9, 0);
    let mut order = Vec::new();
    for choice in choices.iter().cycle().take(all.len()) {
        let ready: Vec<&Written> = all.iter().filter(|written| reader.is_next(written)).collect();
        let next = choice.get(&ready);
        reader.see(next);
        order.push((*next).clone());
    }
    order
}

/// Everything that must be the same on all devices, in words: what digests cover, and what follows from it.
pub(super) fn state(home: &Home) -> Vec<String> {
    let queries = [
        "SELECT 'row', c.name, r.key, r.live, r.conflicts, c.live FROM row r JOIN collection c ON c.idx = r.collection ORDER BY 2, 3",
        "SELECT 'write', c.name, r.key, w.field, hex(s.id), w.seq, w.stamp, hex(w.value), w.value IS NULL FROM write w
         JOIN row r ON r.idx = w.row JOIN collection c ON c.idx = r.collection JOIN source s ON s.idx = w.source ORDER BY 2, 3, 4, 5",
        "SELECT 'message', m.id, c.name, m.created_us, m.unread, hex(s.id), m.seq, m.stamp, hex(m.payload) FROM message m
         LEFT JOIN conversation c ON c.idx = m.conversation LEFT JOIN source s ON s.idx = m.source ORDER BY 2",
        "SELECT 'status', m.id, t.level, t.at_us, hex(s.id), t.seq, t.stamp FROM status t
         JOIN message m ON m.idx = t.message JOIN source s ON s.idx = t.source ORDER BY 2, 3",
        "SELECT 'variant', m.id, hex(v.content) FROM message_variant v JOIN message m ON m.idx = v.message ORDER BY 2, 3",
        "SELECT 'tombstone', hex(t.entity), t.at_us, hex(s.id), t.seq, t.stamp FROM tombstone t
         JOIN source s ON s.idx = t.source ORDER BY 2",
        "SELECT 'conversation', c.name, c.messages, c.unread, c.last_us, m.id FROM conversation c
         LEFT JOIN message m ON m.idx = c.last ORDER BY 2",
        "SELECT 'word', m.id FROM message_text JOIN message m ON m.idx = message_text.rowid
         WHERE message_text MATCH 'true' ORDER BY 2",
    ];
    let mut state = Vec::new();
    for sql in queries {
        let mut statement = home.store.connection.prepare(sql).unwrap();
        let columns = statement.column_count();
        let mut rows = statement.query(()).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let values = (0..columns).map(|column| format!("{:?}", row.get_ref(column).unwrap()));
            state.push(values.collect::<Vec<_>>().join(" "));
        }
    }
    state
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn any_causal_order_and_any_grouping_gives_the_same_state_and_digest(
        history in a_history(),
        choices in prop::collection::vec(any::<Index>(), 1..50),
        batch in 1..10_usize,
        level in 0..OP_LEVEL,
    ) {
        let all = play(&history);
        let (mut one, mut other) = (Home::in_memory(), Home::in_memory());
        one.take(&all.iter().collect::<Vec<_>>());
        for batch in reorder(&all, &choices).chunks(batch) {
            other.take(&batch.iter().collect::<Vec<_>>());
        }
        prop_assert_eq!(state(&one), state(&other));
        prop_assert_eq!(one.store.digest(), other.store.digest());
        // A version that knew fewer ops catches up with its upgrade.
        let mut late = Home { store: Store::over_at(open::in_memory().unwrap(), level).unwrap(), ..Home::in_memory() };
        late.take(&reorder(&all, &choices).iter().collect::<Vec<_>>());
        late.store.come_to(OP_LEVEL).unwrap();
        prop_assert_eq!(state(&one), state(&late));
        prop_assert_eq!(one.store.digest(), late.store.digest());
        prop_assert_eq!(verify::verify(&late.store.connection).unwrap().problems, Vec::new());
        // Memory is a cache of disk: reading it again changes nothing.
        other.store.begin().unwrap();
        other.store.rollback().unwrap();
        prop_assert_eq!(one.store.digest(), other.store.digest());
        let sound = "INSERT INTO message_text (message_text, rank) VALUES ('integrity-check', 1)";
        other.store.connection.execute_batch(sound).unwrap();
        prop_assert_eq!(verify::verify(&other.store.connection).unwrap().problems, Vec::new());
        // A conversation always says what its messages say.
        let wrong = "SELECT count(*) FROM conversation c WHERE
             messages <> (SELECT count(*) FROM message m WHERE m.conversation = c.idx)
             OR unread <> (SELECT count(*) FROM message m WHERE m.conversation = c.idx AND m.unread)";
        prop_assert_eq!(other.count(wrong), 0);
        let missing = "SELECT count(*) FROM message m WHERE conversation IS NOT NULL
             AND conversation NOT IN (SELECT idx FROM conversation)";
        prop_assert_eq!(other.count(missing), 0);
    }
}
