//! Old contents go, and nothing else changes.

use proptest::prelude::*;
use proptest::sample::Index;

use super::compaction::{put, vector_of};
use super::convergence::{a_history, play, state};
use super::*;
use kinfolk_core::contents::{Content, GIVEN_TARGET, Wanted};
use kinfolk_core::ids::{Hash, Seq, SourceId};
use kinfolk_core::op::{Attachment, KIND_MESSAGE_STUB, MessageBody, Op};
use kinfolk_core::step::{Fact, Pruning};
use kinfolk_core::vector::VersionVector;

/// A post at some instant, with so many words.
fn long_post(id: &str, at: i64, word: &str) -> Op {
    let attachments = vec![Attachment { name: "scan.pdf".into(), ..Attachment::default() }];
    let (conversation, sender, text) = ("family".into(), "ada".into(), format!("{word} ").repeat(60));
    let body = MessageBody { conversation, sender, text, created_us: Some(at), attachments, ..MessageBody::default() };
    Op::message_post(id, &body)
}

/// All from before `before_us` that lies at or below `vector`.
fn pruning(before_us: i64, vector: &VersionVector) -> Pruning {
    Pruning { before_us, upto: vector.iter().map(|(source, head)| (source, head.seq)).collect() }
}

impl Home {
    pub(super) fn prune(&mut self, before_us: i64, vector: &VersionVector) -> Pruned {
        self.store.begin().unwrap();
        self.store.apply(&Change::Prune(pruning(before_us, vector))).unwrap();
        self.store.commit().unwrap();
        self.store.last_pruning()
    }

    /// All contents that are elsewhere come from another device, letter by letter.
    fn fetch(&mut self, from: &Self) {
        let sql = "SELECT id FROM message WHERE stub IS NOT NULL";
        let mut statement = self.store.connection.prepare(sql).unwrap();
        let ids: Vec<String> = statement.query_map((), |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
        drop(statement);
        for part in ids.chunks(3) {
            let wanted = contents::wanted(&self.store.connection, part, usize::MAX).unwrap();
            assert_eq!(wanted.len(), part.len());
            let given = contents::given(&from.store.connection, &wanted).unwrap();
            assert_eq!((given.given.len(), given.missing.len()), (part.len(), 0));
            self.put_back(given.given);
        }
    }

    fn put_back(&mut self, contents: Vec<Content>) {
        self.store.begin().unwrap();
        self.store.apply(&Change::Contents(contents)).unwrap();
        self.store.commit().unwrap();
    }

    fn files_hold(&self, words: &str) -> bool {
        let sql = "SELECT (SELECT count(*) FROM log WHERE instr(body, CAST(?1 AS BLOB)) > 0)
                   + (SELECT count(*) FROM message WHERE instr(payload, CAST(?1 AS BLOB)) > 0)";
        self.store.connection.query_row(sql, (words,), |row| row.get::<_, i64>(0)).unwrap() > 0
    }
}

/// The state without what was said in messages.
fn outline(home: &Home) -> Vec<String> {
    let lines = state(home).into_iter();
    // The payload is the last column, and what the first one says in letters is `message`.
    let is_message = |line: &str| line.starts_with("Text([109, 101, 115, 115, 97, 103, 101])");
    let outlined = lines.map(|line| match line.rsplit_once(" Text([") {
        Some((outline, _)) if is_message(&line) => outline.to_owned(),
        Some(_) | None => line,
    });
    outlined.collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn what_goes_changes_nothing_that_others_could_see(
        history in a_history(),
        split in any::<Index>(),
        floor in any::<Index>(),
    ) {
        let all = play(&history);
        prop_assume!(!all.is_empty());
        let (mut plain, mut home) = (Home::in_memory(), Home::in_memory());
        plain.take(&all.iter().collect::<Vec<_>>());
        let applied = split.index(all.len() + 1);
        home.take(&all[..applied].iter().collect::<Vec<_>>());
        let watermark = vector_of(&all[..floor.index(applied + 1)]);
        home.compact(&watermark);
        home.prune(i64::MAX, &watermark);
        home.proves_itself();
        home.take(&all[applied..].iter().collect::<Vec<_>>());
        home.proves_itself();
        prop_assert_eq!(outline(&home), outline(&plain));
        prop_assert_eq!(home.store.digest(), plain.store.digest());
        // Who catches up with it holds the same, and lacks the same.
        let mut third = Home::in_memory();
        third.catch_up(&home, 400, |_| {});
        third.proves_itself();
        prop_assert_eq!(state(&third), state(&home));
        prop_assert_eq!((third.store.digest(), third.store.lacking()), (home.store.digest(), home.store.lacking()));
        // What is compacted and let go afterwards is as right.
        let everything = vector_of(&all);
        home.compact(&everything);
        home.prune(i64::MAX, &everything);
        home.proves_itself();
        prop_assert_eq!(outline(&home), outline(&plain));
        prop_assert_eq!(home.store.digest(), plain.store.digest());
        let lacking = home.store.lacking();
        prop_assert_eq!(home.prune(i64::MAX, &everything).bodies, 0, "a second one finds nothing more");
        home.store.begin().unwrap();
        home.store.rollback().unwrap();
        prop_assert_eq!(home.store.lacking(), lacking);
        // And what is fetched from whoever has it makes everything what it was.
        home.fetch(&plain);
        prop_assert_eq!((home.store.lacking(), state(&home)), (0, state(&plain)));
        prop_assert_eq!(home.store.digest(), plain.store.digest());
        home.proves_itself();
        let sound = "INSERT INTO message_text (message_text, rank) VALUES ('integrity-check', 1)";
        home.store.connection.execute_batch(sound).unwrap();
    }
}

#[test]
fn what_is_old_and_covered_goes_from_log_state_and_index_and_the_message_stays() {
    let (mut home, mut a) = (Home::new(), Author::new(1, 100));
    let all = [
        a.write(vec![long_post("old", 5, "ancient"), put("a", 1)]),
        a.write(vec![long_post("new", 50, "recent")]),
        a.write(vec![long_post("late", 5, "uncovered")]),
    ];
    home.take(&all.iter().collect::<Vec<_>>());
    let (digest, content) = (home.store.digest(), home.reader().content_digest().unwrap());
    let covered = vector_of(&all[..2]);
    home.compact(&covered);
    let would = home.reader().would_prune(&pruning(10, &covered)).unwrap();
    let went = home.prune(10, &covered);
    assert_eq!((went, went.bodies, went.waiting, went.more), (would, 1, 1, false));
    assert!(went.bytes > 300, "{went:?}");
    assert!(!home.files_hold("ancient") && !home.files_hold("scan.pdf ancient"));
    assert!(home.files_hold("recent") && home.files_hold("uncovered"));
    assert_eq!((home.store.digest(), home.store.lacking()), (digest, 1));
    home.proves_itself();

    let home = home.reopen();
    assert_eq!(home.store.lacking(), 1);
    let reader = home.reader();
    assert_eq!(reader.content_digest().unwrap(), content);
    let old = reader.message("old").unwrap().unwrap();
    assert_eq!((old.body.sender.as_str(), old.body.text.as_str(), old.body.attachments.len()), ("ada", "", 0));
    assert_eq!(old.elsewhere.unwrap().content, Hash::of(&long_post("old", 5, "ancient").payload));
    let found = |typed: &str| {
        let sought = Sought { typed: typed.to_owned(), conversation: Some("family".into()), ..Sought::default() };
        reader.search(&sought, None, 9).unwrap().len()
    };
    assert_eq!(found("ancient"), 0);
    assert_eq!((found("ada"), found("recent")), (3, 1), "the sender is still found");
    assert_eq!(reader.message("new").unwrap().unwrap().elsewhere, None);
}

#[test]
fn a_message_without_its_content_still_knows_itself() {
    let (mut home, mut a, mut b) = (Home::new(), Author::new(1, 100), Author::new(2, 200));
    let first = a.write(vec![long_post("m", 5, "first")]);
    home.take(&[&first]);
    home.compact(&vector_of([&first]));
    assert_eq!(home.prune(10, &vector_of([&first])).bodies, 1);
    let fact = |home: &Home| match home.store.facts(&[long_post("m", 5, "words")]).unwrap().remove(0) {
        Fact::Message(fact) => fact.unwrap(),
        Fact::Row(_) => panic!(),
    };
    assert_eq!(fact(&home).content, Some(Hash::of(&long_post("m", 5, "first").payload)));
    // Another device posts the same under this id, and another one something else: only that is counted.
    let same = b.write(vec![long_post("m", 5, "first")]);
    home.take(&[&same]);
    assert_eq!(home.count("SELECT count(*) FROM message_variant"), 0);
    let other = b.write(vec![long_post("m", 5, "second")]);
    home.take(&[&other]);
    assert_eq!(home.count("SELECT count(*) FROM message_variant"), 1);
    home.proves_itself();
    // What repeats the content that went is of no use; what differs stays.
    let everything = vector_of([&first, &other]);
    home.compact(&everything);
    home.proves_itself();
    assert_eq!(home.places(), [1, 3]);
    assert_eq!(home.store.lacking(), 1);
}

#[test]
fn an_earlier_post_takes_the_place_of_one_whose_content_went_and_a_deletion_takes_both() {
    let (mut home, mut a, mut b) = (Home::new(), Author::new(1, 100), Author::new(2, 50));
    let later = a.write(vec![long_post("m", 5, "later")]);
    home.take(&[&later]);
    home.compact(&vector_of([&later]));
    home.prune(10, &vector_of([&later]));
    let earlier = b.write(vec![long_post("m", 6, "earlier")]);
    home.take(&[&earlier]);
    home.proves_itself();
    assert_eq!((home.store.lacking(), home.count("SELECT count(*) FROM message_variant")), (0, 1));
    let deletion = a.write(vec![Op::message_delete("m", Some(9))]);
    home.take(&[&deletion]);
    home.proves_itself();
    let everything = vector_of([&deletion, &earlier]);
    home.compact(&everything);
    home.proves_itself();
    assert_eq!((home.places(), home.store.lacking()), (vec![3], 0));
    let mut whole = Home::new();
    whole.take(&[&later, &earlier, &deletion]);
    assert_eq!(home.store.digest(), whole.store.digest());
}

#[test]
fn a_deletion_of_a_message_whose_content_went_takes_it_out_of_the_count() {
    let (mut home, mut a) = (Home::new(), Author::new(1, 100));
    let post = a.write(vec![long_post("m", 5, "words")]);
    home.take(&[&post]);
    home.compact(&vector_of([&post]));
    home.prune(10, &vector_of([&post]));
    assert_eq!(home.store.lacking(), 1);
    home.take(&[&a.write(vec![Op::message_delete("m", None)])]);
    assert_eq!(home.store.lacking(), 0);
    assert_eq!(home.count("SELECT count(*) FROM message_text"), 0);
    home.proves_itself();
}

/// A device with a message whose content went, and the content.
fn lean() -> (Home, Author, Content) {
    let (mut home, mut a) = (Home::new(), Author::new(1, 100));
    let op = long_post("m", 5, "ancient");
    let post = a.write(vec![op.clone()]);
    home.take(&[&post]);
    home.compact(&vector_of([&post]));
    assert_eq!(home.prune(10, &vector_of([&post])).bodies, 1);
    (home, a, Content { id: "m".into(), payload: op.payload.into() })
}

#[test]
fn a_content_that_comes_back_is_shown_and_found_again_and_may_go_again() {
    let (mut home, _, content) = lean();
    let [wanted] = home.reader().wanted(&["m".into(), "none".into()], 1).unwrap().try_into().unwrap();
    assert_eq!(wanted, Wanted { content: Hash::of(&content.payload), id: "m".into() });
    home.put_back(vec![content.clone()]);
    home.proves_itself();
    let reader = home.reader();
    let whole = reader.message("m").unwrap().unwrap();
    assert_eq!((whole.elsewhere, whole.body.attachments.len()), (None, 1));
    assert!(whole.body.text.starts_with("ancient") && home.files_hold("ancient"));
    let sought = Sought { typed: "ancient".into(), ..Sought::default() };
    assert_eq!(reader.search(&sought, None, 9).unwrap().len(), 1);
    assert_eq!((home.store.lacking(), reader.wanted(&["m".into()], 1).unwrap()), (0, Vec::new()));
    assert_eq!(reader.contents(&[wanted]).unwrap().given, [content]);
    let mut home = home.reopen();
    assert_eq!(home.store.lacking(), 0);
    let vector = home.store.restore().unwrap().watermark;
    assert_eq!(home.prune(10, &vector).bodies, 1);
    home.proves_itself();
}

#[test]
fn what_comes_back_too_late_or_is_something_else_changes_nothing() {
    let (mut home, mut a, content) = lean();
    let other = Content { payload: long_post("m", 5, "else").payload.into(), ..content.clone() };
    home.put_back(vec![other, Content { id: "n".into(), ..content.clone() }]);
    assert_eq!((home.store.lacking(), home.files_hold("else")), (1, false));
    home.take(&[&a.write(vec![Op::message_delete("m", None)])]);
    home.put_back(vec![content.clone()]);
    home.proves_itself();
    assert_eq!((home.store.lacking(), home.reader().message("m").unwrap()), (0, None));

    let (mut home, _, content) = lean();
    home.put_back(vec![content.clone(), content]);
    assert_eq!(home.store.lacking(), 0, "twice is once");
}

#[test]
fn a_letter_takes_as_many_contents_as_fit_and_says_which_are_missing() {
    let (mut home, mut a) = (Home::new(), Author::new(1, 100));
    let large = |id: &str| {
        let text = "x".repeat(GIVEN_TARGET / 2 + 1);
        Op::message_post(id, &MessageBody { conversation: "c".into(), text, ..MessageBody::default() })
    };
    let ops = ["m", "n", "o"].map(large);
    let short = long_post("p", 5, "short");
    let all: Vec<_> = ops.iter().chain([&short]).map(|op| a.write(vec![op.clone()])).collect();
    home.take(&all.iter().collect::<Vec<_>>());
    let ask = |op: &Op| Wanted { content: Hash::of(&op.payload), id: op.key.clone() };
    let stranger = Wanted { content: Hash([9; 32]), id: "m".into() };
    let nobody = Wanted { content: Hash([8; 32]), id: "none".into() };
    let wanted = [stranger.clone(), ask(&ops[0]), ask(&ops[1]), nobody.clone(), ask(&short)];
    let contents = home.reader().contents(&wanted).unwrap();
    let ids: Vec<&str> = contents.given.iter().map(|content| content.id.as_str()).collect();
    assert_eq!((ids, contents.missing), (vec!["m", "p"], vec![stranger, nobody]));
    let sizes: Vec<_> = home.reader().wanted(&["m".into()], 1).unwrap();
    assert_eq!(sizes, [], "nothing is lacking");
}

#[test]
fn as_many_contents_are_asked_for_as_a_page_holds() {
    let (mut home, mut a) = (Home::new(), Author::new(1, 100));
    let ids: Vec<String> = (0..4).map(|n| format!("m{n}")).collect();
    let all: Vec<_> = ids.iter().map(|id| a.write(vec![long_post(id, 5, "words")])).collect();
    home.take(&all.iter().collect::<Vec<_>>());
    home.compact(&vector_of(&all));
    assert_eq!(home.prune(10, &vector_of(&all)).bodies, 4);
    let size = long_post("m0", 5, "words").payload.len();
    let count = |most: usize| home.reader().wanted(&ids, most).unwrap().len();
    assert_eq!((count(1), count(size), count(size + 1), count(4 * size), count(usize::MAX)), (1, 1, 2, 4, 4));
}

#[test]
fn what_is_lacking_is_told_newest_first_and_what_was_let_go_by_hand_is_remembered() {
    let (mut home, mut a) = (Home::new(), Author::new(1, 100));
    let all: Vec<_> = (1..=5).map(|at| a.write(vec![long_post(&format!("m{at}"), at, "words")])).collect();
    home.take(&all.iter().collect::<Vec<_>>());
    home.compact(&vector_of(&all));
    assert_eq!(home.prune(5, &vector_of(&all)).bodies, 4);
    let reader = home.reader();
    let ids = |lacking: &Lacking| lacking.wanted.iter().map(|wanted| wanted.id.clone()).collect::<Vec<_>>();
    let first = reader.lacking(2, None, 2).unwrap();
    assert_eq!((ids(&first), first.last.clone()), (vec!["m4".into(), "m3".into()], Some((3, "m3".into()))));
    let second = reader.lacking(2, first.last.as_ref(), 2).unwrap();
    assert_eq!((ids(&second), second.last.clone()), (vec!["m2".into()], Some((2, "m2".into()))));
    assert_eq!(reader.lacking(2, second.last.as_ref(), 2).unwrap(), Lacking::default());
    assert_eq!(ids(&reader.lacking(i64::MIN, None, 9).unwrap()).len(), 4);

    assert_eq!(reader.left().unwrap(), None);
    home.store.leave(3).unwrap();
    home.store.leave(-7).unwrap();
    let home = home.reopen();
    assert_eq!(home.reader().left().unwrap(), Some(3), "the latest counts");
    home.store.leave_nothing().unwrap();
    assert_eq!(home.reader().left().unwrap(), None);
}

#[test]
fn what_is_lacking_is_told_a_letter_at_a_time() {
    let (mut home, mut a) = (Home::new(), Author::new(1, 100));
    let large = |id: &str| {
        let text = "x".repeat(GIVEN_TARGET / 2 + 1);
        let body = MessageBody { conversation: "c".into(), text, created_us: Some(1), ..MessageBody::default() };
        Op::message_post(id, &body)
    };
    let all: Vec<_> = ["m", "n"].map(|id| a.write(vec![large(id)])).into();
    home.take(&all.iter().collect::<Vec<_>>());
    home.compact(&vector_of(&all));
    assert_eq!(home.prune(5, &vector_of(&all)).bodies, 2);
    let lacking = home.reader().lacking(0, None, 9).unwrap();
    assert_eq!((lacking.wanted.len(), lacking.last), (1, Some((1, "n".into()))));
}

#[test]
fn retention_and_words_are_kept() {
    let mut home = Home::new();
    assert_eq!((home.store.retention().unwrap(), home.store.restore().unwrap().prunes), (None, false));
    home.store.set_retention(Some(90)).unwrap();
    let word = kinfolk_core::step::Word { ask: u64::MAX, written: Millis(7) };
    home.store.begin().unwrap();
    for n in [4, 5] {
        home.store.apply(&Change::Word { to: DeviceId([n; 16]), word: Some(word) }).unwrap();
    }
    home.store.apply(&Change::Word { to: DeviceId([4; 16]), word: None }).unwrap();
    home.store.commit().unwrap();
    let home = home.reopen();
    let saved = home.store.restore().unwrap();
    assert_eq!((home.store.retention().unwrap(), saved.prunes), (Some(90), true));
    assert_eq!(saved.words, std::collections::BTreeMap::from([(DeviceId([5; 16]), word)]));
    home.store.set_retention(None).unwrap();
    assert_eq!(home.store.retention().unwrap(), None);
}

#[test]
fn a_source_that_is_not_named_lets_nothing_go() {
    let (mut home, mut a) = (Home::new(), Author::new(1, 100));
    let post = a.write(vec![long_post("m", 5, "words")]);
    home.take(&[&post]);
    home.compact(&vector_of([&post]));
    let other = Pruning { before_us: 10, upto: [(SourceId([9; 16]), Seq(9))].into() };
    home.store.begin().unwrap();
    home.store.apply(&Change::Prune(other)).unwrap();
    home.store.commit().unwrap();
    assert_eq!((home.store.last_pruning().bodies, home.store.last_pruning().waiting), (0, 1));
}

#[test]
fn an_older_version_keeps_what_is_left_of_a_message_and_shows_it_after_its_upgrade() {
    let (mut home, mut a) = (Home::new(), Author::new(3, 100));
    let post = a.write(vec![long_post("m", 5, "words")]);
    home.take(&[&post]);
    home.compact(&vector_of([&post]));
    assert_eq!(home.prune(10, &vector_of([&post])).bodies, 1);
    let mut older = Home::new().reopen_at(KIND_MESSAGE_STUB - 1);
    older.catch_up(&home, 400, |_| {});
    assert_eq!((older.store.lacking(), older.reader().message("m").unwrap()), (0, None));
    let upgraded = older.reopen();
    assert_eq!((upgraded.store.digest(), upgraded.store.lacking()), (home.store.digest(), 1));
    upgraded.proves_itself();
}
