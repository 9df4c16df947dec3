//! How mail is lost on a sorted set, each way as a test that it is not lost here.

use super::*;
use crate::relay::conformance::proxy::Proxy;
use crate::relay::conformance::{all, envelope, fetch, mailbox, next, set};
use crate::relay::mail::{Cursor, Delivery};
use crate::relay::{RETENTION, WatchEvent};

const ONE_PAGE: usize = 1 << 20;

/// A member as another program writes it.
fn member(number: u8) -> Vec<u8> {
    let envelope = envelope(number, 10);
    [envelope.id.as_bytes(), &envelope.sealed[..]].concat()
}

/// Another program's put: a score of its own, and nothing said.
fn put_by_another(server: &Server, score: impl redis::ToSingleRedisArg, number: u8) {
    server.run(redis::cmd("ZADD").arg(keys::mail(mailbox(1))).arg(score).arg(member(number)));
}

async fn from(relay: &RedisRelay, after: Option<Cursor>, max_bytes: usize) -> Fetched {
    relay.fetch(&[Want { mailbox: mailbox(1), after }], max_bytes).await.unwrap().remove(0)
}

/// Numbers of the envelopes, page after page from a cursor.
async fn pages(relay: &RedisRelay, mut after: Option<Cursor>, max_bytes: usize) -> Vec<u8> {
    let mut numbers = Vec::new();
    loop {
        let page = from(relay, after, max_bytes).await;
        numbers.extend(page.mail.iter().map(|delivery| delivery.envelope.id.0[0]));
        after = page.cursor;
        if !page.more {
            return numbers;
        }
    }
}

async fn put(relay: &RedisRelay, number: u8) -> PutOutcome {
    relay.put(&[(mailbox(1), envelope(number, 10))]).await.unwrap()[0]
}

fn scores(server: &Server) -> BTreeMap<u8, f64> {
    let command = redis::cmd("ZRANGE").arg(keys::mail(mailbox(1))).arg(0).arg(-1).arg("WITHSCORES").to_owned();
    let all: BTreeMap<Vec<u8>, f64> = server.ask(&command);
    all.into_iter().map(|(member, score)| (member[0], score)).collect()
}

#[tokio::test]
async fn equal_scores_across_the_end_of_a_page_are_all_found() {
    let server = Server::start(&[]);
    let relay = RedisRelay::prepare(&server.url()).await.unwrap();
    for (score, number) in [(100, 1), (100, 2), (100, 3), (101, 4)] {
        put_by_another(&server, score, number);
    }
    for max_bytes in [10, 20, 30, 40] {
        assert_eq!(pages(&relay, None, max_bytes).await, [1, 2, 3, 4], "pages of {max_bytes} bytes");
    }
}

#[tokio::test]
async fn mail_of_a_sender_whose_clock_is_behind_is_found_from_the_cursor() {
    let server = Server::start(&[]);
    let relay = RedisRelay::prepare(&server.url()).await.unwrap();
    put(&relay, 1).await;
    let after = from(&relay, None, ONE_PAGE).await.cursor;
    // Another program's clock decides about its own mail alone: it is found from nothing, and the server's hint asks for that.
    let mut events = relay.watch(vec![mailbox(1)]);
    assert!(matches!(next(&mut events).await, WatchEvent::Gap));
    put_by_another(&server, 99, 2);
    assert!(matches!(next(&mut events).await, WatchEvent::Gap), "a change that no put of ours announced");
    assert_eq!(pages(&relay, None, ONE_PAGE).await, [2, 1]);
    // Ours gets its place from the server.
    put(&relay, 3).await;
    assert_eq!(pages(&relay, after, ONE_PAGE).await, [3]);
}

#[tokio::test]
async fn a_score_from_the_future_does_not_hide_what_is_put_next() {
    let server = Server::start(&[]);
    let relay = RedisRelay::prepare(&server.url()).await.unwrap();
    put(&relay, 0).await;
    put_by_another(&server, server.micros() + 3_600_000_000, 1);
    let after = from(&relay, None, ONE_PAGE).await.cursor;
    put(&relay, 2).await;
    assert_eq!(pages(&relay, after, ONE_PAGE).await, [2]);
    put_by_another(&server, "+inf", 3);
    put(&relay, 4).await;
    assert_eq!(pages(&relay, None, 10).await, [0, 1, 2, 4, 3]);
}

#[tokio::test]
async fn a_repeated_put_moves_nothing() {
    let server = Server::start(&[]);
    let relay = RedisRelay::prepare(&server.url()).await.unwrap();
    for number in 1..=3 {
        put(&relay, number).await;
    }
    let before = scores(&server);
    assert_eq!(put(&relay, 1).await, PutOutcome::AlreadyThere);
    assert_eq!(scores(&server), before);
}

#[tokio::test]
async fn acknowledging_between_two_pages_skips_nothing() {
    let server = Server::start(&[]);
    let relay = RedisRelay::prepare(&server.url()).await.unwrap();
    for number in 0..20 {
        put(&relay, number).await;
    }
    let mut after = None;
    let mut seen = Vec::new();
    loop {
        let page = from(&relay, after, 30).await;
        let handles: Vec<Handle> = page.mail.iter().map(|delivery| delivery.handle.clone()).collect();
        relay.acknowledge(mailbox(1), &handles).await.unwrap();
        seen.extend(page.mail.iter().map(|delivery| delivery.envelope.id.0[0]));
        after = page.cursor;
        if !page.more {
            break;
        }
    }
    assert_eq!(seen, (0..20).collect::<Vec<u8>>());
    assert!(scores(&server).is_empty());
}

#[tokio::test]
async fn scores_grow_although_the_clock_steps_back() {
    let server = Server::start(&[]);
    let relay = RedisRelay::prepare(&server.url()).await.unwrap();
    put(&relay, 1).await;
    // As if the clock had been a day ahead until now.
    let ahead = server.micros() + 86_400_000_000;
    put_by_another(&server, ahead, 1);
    server.run(redis::cmd("HSET").arg(keys::companion(mailbox(1))).arg("hi").arg(ahead));
    let page = from(&relay, None, ONE_PAGE).await;
    relay.acknowledge(mailbox(1), &[page.mail[0].handle.clone()]).await.unwrap();
    for number in 2..5 {
        put(&relay, number).await;
    }
    assert_eq!(pages(&relay, page.cursor, 10).await, [2, 3, 4]);
    assert!(scores(&server).values().all(|score| *score > ahead as f64));
}

#[tokio::test]
async fn a_lost_companion_does_not_put_new_mail_behind_the_cursor() {
    let server = Server::start(&[]);
    let relay = RedisRelay::prepare(&server.url()).await.unwrap();
    put(&relay, 1).await;
    let ahead = server.micros() + 86_400_000_000;
    put_by_another(&server, ahead, 1);
    for collected in [false, true] {
        let page = from(&relay, None, ONE_PAGE).await;
        if collected {
            let handles: Vec<Handle> = page.mail.iter().map(|delivery| delivery.handle.clone()).collect();
            relay.acknowledge(mailbox(1), &handles).await.unwrap();
        }
        // With the mailbox full its highest score counts; with nothing left the clock does, which has stepped back.
        server.run(redis::cmd("DEL").arg(keys::companion(mailbox(1))));
        let number = if collected { 3 } else { 2 };
        put(&relay, number).await;
        assert!(pages(&relay, page.cursor, ONE_PAGE).await.contains(&number), "collected: {collected}");
    }
}

#[tokio::test]
async fn a_server_that_was_set_back_loses_no_unread_mail_to_a_reused_score() {
    let server = Server::start(&[]);
    let relay = RedisRelay::prepare(&server.url()).await.unwrap();
    put(&relay, 1).await;
    let page = from(&relay, None, ONE_PAGE).await;
    let score = scores(&server)[&1];
    // Set back to before the put; then another envelope gets the same score.
    server.run(redis::cmd("ZREM").arg(keys::mail(mailbox(1))).arg(member(1)));
    server.run(redis::cmd("HSET").arg(keys::companion(mailbox(1))).arg("hi").arg(score - 1.0));
    put_by_another(&server, score, 2);
    relay.acknowledge(mailbox(1), &[page.mail[0].handle.clone()]).await.unwrap();
    assert_eq!(all(&relay, mailbox(1)).await, set([envelope(2, 10)]), "unread mail was deleted");
}

#[tokio::test]
async fn a_cursor_from_before_a_server_was_set_back_hides_nothing() {
    let server = Server::start(&[]);
    let relay = RedisRelay::prepare(&server.url()).await.unwrap();
    put(&relay, 1).await;
    let after = from(&relay, None, ONE_PAGE).await.cursor;
    let score = scores(&server)[&1];
    server.run(redis::cmd("DEL").arg(keys::mail(mailbox(1))));
    server.run(redis::cmd("HSET").arg(keys::companion(mailbox(1))).arg("hi").arg(score - 10.0));
    put_by_another(&server, score - 9.0, 2);
    assert_eq!(pages(&relay, after, ONE_PAGE).await, [2]);
}

#[tokio::test]
async fn mail_that_was_evicted_or_has_expired_may_be_put_again_and_is_counted_anew() {
    let server = Server::start(&[]);
    let limits = Limits { mailbox_bytes: 20, ..Limits::default() };
    let relay = RedisRelay::prepare_with(&server.url(), limits).await.unwrap();
    for way in [&["DEL"][..], &["UNLINK"], &["PEXPIRE", "0"]] {
        assert_eq!((put(&relay, 1).await, put(&relay, 2).await), (PutOutcome::Stored, PutOutcome::Stored));
        let after = from(&relay, None, ONE_PAGE).await.cursor;
        assert!(matches!(put(&relay, 3).await, PutOutcome::MailboxFull { used: 20, max: 20 }));
        server.run(redis::cmd(way[0]).arg(keys::mail(mailbox(1))).arg(&way[1..]));
        assert_eq!(put(&relay, 1).await, PutOutcome::Stored, "the budget of what is gone is free");
        assert_eq!(pages(&relay, after, ONE_PAGE).await, [1]);
        let left: Vec<Delivery> = fetch(&relay, mailbox(1)).await.mail;
        relay.acknowledge(mailbox(1), &[left[0].handle.clone()]).await.unwrap();
    }
}

#[tokio::test]
async fn a_mailbox_ends_by_itself_and_its_companion_after_it() {
    let server = Server::start(&[]);
    let relay = RedisRelay::prepare(&server.url()).await.unwrap();
    put(&relay, 1).await;
    let lives = |name: String| -> Duration {
        let millis: u64 = server.ask(redis::cmd("PTTL").arg(name));
        Duration::from_millis(millis)
    };
    assert!(lives(keys::mail(mailbox(1))) > RETENTION);
    assert!(lives(keys::companion(mailbox(1))) > lives(keys::mail(mailbox(1))));
    let handle = fetch(&relay, mailbox(1)).await.mail.remove(0).handle;
    // An acknowledgement that comes when the companion has died leaves none that lives for ever.
    server.run(redis::cmd("DEL").arg(keys::companion(mailbox(1))));
    relay.acknowledge(mailbox(1), &[handle]).await.unwrap();
    let left: bool = server.ask(redis::cmd("EXISTS").arg(keys::companion(mailbox(1))));
    assert!(!left);
}

#[tokio::test]
async fn a_killed_connection_is_a_gap_and_everything_is_fetched() {
    let server = Server::start(&[]);
    let receiver = RedisRelay::prepare(&server.url()).await.unwrap();
    let sender = RedisRelay::open(&server.url()).await.unwrap();
    let mut events = receiver.watch(vec![mailbox(1)]);
    assert!(matches!(next(&mut events).await, WatchEvent::Gap));
    for round in 0..3 {
        server.run(redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg("pubsub"));
        put(&sender, 2 * round).await;
        while !matches!(next(&mut events).await, WatchEvent::Gap) {}
        assert_eq!(all(&receiver, mailbox(1)).await.len(), usize::from(2 * round) + 1);
        // Both ways of being told stand again.
        put(&sender, 2 * round + 1).await;
        while !matches!(next(&mut events).await, WatchEvent::Ready(_)) {}
    }
    put_by_another(&server, 1, 99);
    while !matches!(next(&mut events).await, WatchEvent::Gap) {}
    assert_eq!(all(&receiver, mailbox(1)).await.len(), 7);
}

#[tokio::test]
async fn what_this_connection_deletes_is_no_news_to_it() {
    let server = Server::start(&[]);
    let receiver = RedisRelay::prepare(&server.url()).await.unwrap();
    let sender = RedisRelay::open(&server.url()).await.unwrap();
    let mut events = receiver.watch(vec![mailbox(1)]);
    assert!(matches!(next(&mut events).await, WatchEvent::Gap));
    for number in 0..10 {
        put(&sender, number).await;
        let ready = matches!(next(&mut events).await, WatchEvent::Ready(ready) if ready == mailbox(1));
        assert!(ready, "a put of ours, or a deletion, was taken for another program's");
        let handle = fetch(&receiver, mailbox(1)).await.mail.remove(0).handle;
        receiver.acknowledge(mailbox(1), &[handle]).await.unwrap();
    }
}

#[tokio::test]
async fn scripts_that_the_server_forgot_are_loaded_again() {
    let server = Server::start(&[]);
    let relay = RedisRelay::prepare(&server.url()).await.unwrap();
    for number in 1..4 {
        server.run(redis::cmd("SCRIPT").arg("FLUSH"));
        assert_eq!(put(&relay, number).await, PutOutcome::Stored);
        server.run(redis::cmd("SCRIPT").arg("FLUSH"));
        assert_eq!(all(&relay, mailbox(1)).await.len(), usize::from(number));
    }
}

#[tokio::test]
async fn small_mail_comes_along_with_its_hint() {
    let server = Server::start(&[]);
    let proxy = Proxy::start(server.port).await;
    let limits = Limits { response: SHORT, ..Limits::default() };
    let url = RelayUrl::parse(&format!("redis://127.0.0.1:{}", proxy.port)).unwrap();
    let receiver = RedisRelay::prepare_with(&url, limits).await.unwrap();
    let sender = RedisRelay::open(&server.url()).await.unwrap();
    // Mailbox 2 is never used.
    let mut want = [Want::all(mailbox(1)), Want::all(mailbox(2))];
    let mut events = receiver.watch(vec![mailbox(1), mailbox(2)]);
    assert!(matches!(next(&mut events).await, WatchEvent::Gap));
    sender.put(&[(mailbox(1), envelope(0, 10))]).await.unwrap();
    assert!(matches!(next(&mut events).await, WatchEvent::Ready(_)));
    let mut handles = Vec::new();
    for number in 0..4 {
        let answers = receiver.fetch(&want, 10_000).await.unwrap();
        let mail: Vec<&Envelope> = answers[0].mail.iter().map(|delivery| &delivery.envelope).collect();
        assert_eq!(mail, [&envelope(number, 10)]);
        handles.extend(answers[0].mail.iter().map(|delivery| delivery.handle.clone()));
        for (want, answer) in want.iter_mut().zip(answers) {
            want.after = answer.cursor;
        }
        if number == 1 {
            // An empty mailbox breaks no chain.
            receiver.acknowledge(mailbox(1), &handles).await.unwrap();
            let answers = receiver.fetch(&want, 10_000).await.unwrap();
            assert!(answers.iter().all(|answer| answer.mail.is_empty()));
            want.iter_mut().zip(answers).for_each(|(want, answer)| want.after = answer.cursor);
        }
        sender.put(&[(mailbox(1), envelope(number + 1, 10))]).await.unwrap();
        assert!(matches!(next(&mut events).await, WatchEvent::Ready(_)));
        // No answer comes through any more: what is fetched next came along.
        proxy.mute(number == 3);
    }
    let answers = receiver.fetch(&want, 10_000).await.unwrap();
    assert_eq!(answers[0].mail[0].envelope, envelope(4, 10));
    proxy.mute(false);
    receiver.acknowledge(mailbox(1), &handles).await.unwrap();
    receiver.acknowledge(mailbox(1), &[answers[0].mail[0].handle.clone()]).await.unwrap();
    assert!(all(&sender, mailbox(1)).await.is_empty(), "its handle is as good as a fetched one's");
}

#[tokio::test]
async fn large_and_many_at_once_are_fetched() {
    let server = Server::start(&[]);
    let receiver = RedisRelay::prepare(&server.url()).await.unwrap();
    let sender = RedisRelay::open(&server.url()).await.unwrap();
    let mut events = receiver.watch(vec![mailbox(1)]);
    assert!(matches!(next(&mut events).await, WatchEvent::Gap));
    let mut after = None;
    let mut seen = 0;
    for round in 0..10 {
        let first = round * 4;
        sender.put(&[(mailbox(1), envelope(first, 10))]).await.unwrap();
        sender.put(&[(mailbox(1), envelope(first + 1, 5000))]).await.unwrap();
        sender.put(&[(mailbox(1), envelope(first + 2, 10)), (mailbox(1), envelope(first + 3, 10))]).await.unwrap();
        while seen < usize::from(first) + 4 {
            assert!(matches!(next(&mut events).await, WatchEvent::Ready(_)));
            let page = from(&receiver, after, ONE_PAGE).await;
            seen += page.mail.len();
            after = page.cursor;
        }
        assert_eq!(seen, usize::from(first) + 4, "nothing twice");
    }
}
