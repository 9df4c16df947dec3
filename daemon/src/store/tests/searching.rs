//! What searches find.

use super::*;
use kinfolk_core::op::{MessageBody, Op};

fn post(conversation: &str, id: &str, text: &str, at_us: i64) -> Op {
    let (conversation, text) = (conversation.to_owned(), text.to_owned());
    let sender = "Ada".to_owned();
    Op::message_post(id, &MessageBody { conversation, text, sender, created_us: Some(at_us), ..MessageBody::default() })
}

fn sought(typed: &str) -> Sought {
    Sought { typed: typed.to_owned(), ..Sought::default() }
}

#[test]
fn a_search_can_be_bound_to_a_sender_and_a_time() {
    let (mut home, mut a) = (Home::new(), Author::new(1, 100));
    let reader = home.reader();
    let by = |id: &str, sender: &str, at_us| {
        let (sender, text) = (sender.to_owned(), "red wine".to_owned());
        let conversation = "c".to_owned();
        let body = MessageBody { conversation, sender, text, created_us: Some(at_us), ..MessageBody::default() };
        Op::message_post(id, &body)
    };
    home.take(&[&a.write(vec![by("m1", "Ada", 10), by("m2", "Ada Lee", 20), by("m3", "+1", 30), by("m4", "Ada", 40)])]);
    let found = |sought: Sought| {
        let hits = reader.search(&sought, None, 10).unwrap();
        hits.into_iter().map(|hit| hit.message.id).collect::<Vec<_>>().join(" ")
    };
    let of = |sender: &str| Sought { sender: Some(sender.to_owned()), ..sought("wine") };
    assert_eq!(found(of("Ada")), "m4 m1", "exactly this sender");
    assert_eq!(found(of("Ada Lee")), "m2");
    assert_eq!(found(of("+1")), "m3");
    assert_eq!(found(of("ada")), "", "letters count");
    assert_eq!(found(Sought { from_us: Some(20), before_us: Some(40), ..sought("wine") }), "m3 m2");
    assert_eq!(found(Sought { from_us: Some(20), ..of("Ada") }), "m4");
    assert_eq!(found(Sought { before_us: Some(10), ..sought("wine") }), "");
}

#[test]
fn a_search_finds_words_phrases_and_beginnings_in_text_and_sender() {
    let (mut home, mut a) = (Home::new(), Author::new(1, 100));
    let reader = home.reader();
    let ops = vec![
        post("c", "m1", "red wine from Köln", 1),
        post("c", "m2", "wine, not red; see NEAR(a b)", 2),
        post("d", "m3", "a winery", 3),
    ];
    home.take(&[&a.write(ops)]);
    let found = |typed, conversation: Option<&str>| {
        let conversation = conversation.map(str::to_owned);
        let hits = reader.search(&Sought { conversation, ..sought(typed) }, None, 10).unwrap();
        hits.into_iter().map(|hit| hit.message.id).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(found("wine", None), "m2 m1", "newest first");
    assert_eq!(found("red wine", None), "m2 m1");
    assert_eq!(found("\"red wine\"", None), "m1");
    assert_eq!(found("wine*", None), "m3 m2 m1");
    assert_eq!(found("wine*", Some("d")), "m3");
    assert_eq!(found("KOLN", None), "m1");
    assert_eq!(found("ada", Some("c")), "m2 m1");
    assert_eq!(found("NEAR(a b)", None), "m2");
    for nothing in ["", "\"", "*", "cheese", "place:1", "(", "wine NOT red AND"] {
        assert_eq!(found(nothing, None), "", "{nothing}");
    }
    assert_eq!(found("wine", Some("nowhere")), "");
    let first = reader.search(&sought("wine"), None, 1).unwrap();
    let second = reader.search(&sought("wine"), Some(first[0].place), 10).unwrap();
    assert_eq!(second[0].message.id, "m1");
}

#[test]
fn a_snippet_shows_what_matched() {
    let (mut home, mut a) = (Home::new(), Author::new(1, 100));
    let text = format!("{}the red wine {}", "before ".repeat(40), "after ".repeat(40));
    home.take(&[&a.write(vec![post("c", "m", &text, 1)])]);
    let hit = home.reader().search(&sought("red"), None, 1).unwrap().remove(0);
    let matched: Vec<_> = hit.snippet.iter().filter(|piece| piece.matched).collect();
    assert_eq!(matched.len(), 1);
    assert_eq!(matched[0].text, "red");
    let whole: String = hit.snippet.iter().map(|piece| piece.text.as_str()).collect();
    assert!(whole.contains("the red wine after") && whole.len() < text.len(), "{whole}");
    assert!(whole.starts_with('…') && whole.ends_with('…'), "{whole}");
}
