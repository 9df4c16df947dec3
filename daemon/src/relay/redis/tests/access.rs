//! Users, rights, and servers that have no room.

use super::*;
use crate::relay::conformance::{all, envelope, fetch, mailbox, next, set};
use crate::relay::error::Reason;
use crate::relay::{ProbeWarning, WatchEvent};

/// The line that `docs/protocol.md` shows.
fn documented() -> Vec<String> {
    let text = include_str!("../../../../../docs/protocol.md");
    let line = text.split("```").find(|block| block.contains("ACL SETUSER kinfolk")).unwrap();
    line.split_whitespace().skip_while(|word| *word != "ACL").map(str::to_owned).collect()
}

/// Makes the user with these words.
fn set_user(server: &Server, words: &[String]) {
    server.run(redis::cmd("ACL").arg("DELUSER").arg("kinfolk"));
    let mut command = redis::cmd(&words[0]);
    words[1..].iter().for_each(|word| {
        command.arg(word);
    });
    server.run(&command);
}

fn url(server: &Server) -> RelayUrl {
    server.url_as("kinfolk:password@", "/1")
}

/// All that a relay does. Says what went wrong, or what could be better.
async fn use_all(server: &Server) -> Result<(), String> {
    let words = |error: RelayError| error.to_string();
    server.run(&redis::cmd("FLUSHALL"));
    let relay = RedisRelay::prepare(&url(server)).await.map_err(words)?;
    let probe = relay.probe().await.map_err(words)?;
    let warnings: Vec<_> = probe.warnings.iter().filter(|warning| **warning != ProbeWarning::NotKept).collect();
    if !warnings.is_empty() {
        return Err(format!("{warnings:?}"));
    }
    let hints = relay.link.listen(&[mailbox(1)]).await.map_err(words)?;
    if !hints.messages || !hints.changes {
        return Err(format!("{hints:?}"));
    }
    let items: Vec<_> = (0..3).map(|number| (mailbox(1), envelope(number, 10))).collect();
    for put in [&items[..2], &items[..]] {
        relay.put(put).await.map_err(words)?;
    }
    let fetched = relay.fetch(&[Want::all(mailbox(1))], 1000).await.map_err(words)?.remove(0);
    relay.acknowledge(mailbox(1), &[fetched.mail[0].handle.clone()]).await.map_err(words)?;
    relay.sweep(&[mailbox(1)]).await.map_err(words)?;
    Ok(())
}

#[tokio::test]
async fn the_documented_rights_are_enough_and_each_is_needed() {
    let server = Server::start(&[]);
    let words = documented();
    set_user(&server, &words);
    assert_eq!(use_all(&server).await, Ok(()));
    let rights = words.iter().filter(|word| word.starts_with(['+', '~', '&']));
    for right in rights {
        let fewer: Vec<String> = words.iter().filter(|word| *word != right).cloned().collect();
        set_user(&server, &fewer);
        let lacking = use_all(&server).await;
        assert!(lacking.is_err(), "{right} is not needed");
    }
}

#[tokio::test]
async fn a_user_without_rights_is_told_so() {
    let server = Server::start(&[]);
    RedisRelay::prepare(&server.url_as("", "/1")).await.unwrap();
    let words = documented();
    // One that may only read, one whose keys are only to be read, and one that may nothing.
    let reading = "ACL SETUSER kinfolk on >password ~* &* -@all +@read +@connection +@scripting";
    let keys_alone = words.iter().map(|word| word.replace('~', "%R~")).collect::<Vec<_>>().join(" ");
    let refused = RedisRelay::open(&server.url_as("", "/99")).await.unwrap_err();
    assert!(matches!(refused, RelayError::Config(_)) && refused.to_string().contains("database"), "{refused:?}");
    for line in [reading, &keys_alone, "ACL SETUSER kinfolk on >password"] {
        set_user(&server, &line.split(' ').map(str::to_owned).collect::<Vec<_>>());
        let refused = match RedisRelay::open(&url(&server)).await {
            Ok(relay) => relay.put(&[(mailbox(1), envelope(1, 10))]).await.unwrap_err(),
            Err(refused) => refused,
        };
        assert!(matches!(refused, RelayError::Denied { reason: Reason::NoRight, .. }), "{line}: {refused:?}");
        assert!(refused.to_string().contains("rights"), "{refused}");
    }
}

#[tokio::test]
async fn a_wrong_password_and_none_are_told_apart() {
    let server = Server::start(&[]);
    set_user(&server, &documented());
    for login in ["kinfolk:wrong@", "nobody:password@"] {
        let refused = RedisRelay::prepare(&server.url_as(login, "")).await.unwrap_err();
        assert!(matches!(refused, RelayError::Denied { reason: Reason::WrongPassword, .. }), "{refused:?}");
        assert!(!refused.to_string().contains("wrong@"), "{refused}");
    }
    server.run(redis::cmd("CONFIG").arg("SET").arg("requirepass").arg("open sesame"));
    let refused = RedisRelay::prepare(&server.url()).await.unwrap_err();
    assert!(matches!(refused, RelayError::Denied { reason: Reason::NoPassword, .. }), "{refused:?}");
    RedisRelay::prepare(&server.url_as(":open%20sesame@", "")).await.unwrap();
}

#[tokio::test]
async fn a_password_that_changes_is_noticed_at_the_next_connection() {
    let server = Server::start(&[]);
    set_user(&server, &documented());
    let relay = RedisRelay::prepare(&url(&server)).await.unwrap();
    let mut events = relay.watch(vec![mailbox(1)]);
    assert!(matches!(next(&mut events).await, WatchEvent::Gap));
    set_user(&server, &documented().iter().map(|word| word.replace(">password", ">other")).collect::<Vec<_>>());
    // Redis ends the connections of a user that is deleted.
    assert!(matches!(next(&mut events).await, WatchEvent::Down(RelayError::Denied { .. })));
}

#[tokio::test]
async fn a_full_server_takes_no_mail_and_gives_what_it_has() {
    let server = Server::start(&["maxmemory-policy noeviction"]);
    let relay = RedisRelay::prepare(&server.url()).await.unwrap();
    relay.put(&[(mailbox(1), envelope(1, 1000)), (mailbox(1), envelope(2, 1000))]).await.unwrap();
    server.run(redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg("1mb"));
    for relay in [&relay, &RedisRelay::open(&server.url()).await.unwrap()] {
        let error = relay.put(&[(mailbox(1), envelope(3, 1000))]).await.unwrap_err();
        assert!(matches!(error, RelayError::Transient { reason: Reason::OutOfMemory, .. }), "{error:?}");
        assert!(relay.probe().await.unwrap_err().to_string().contains("maxmemory"));
        let mail = fetch(relay, mailbox(1)).await.mail;
        relay.acknowledge(mailbox(1), &[mail[0].handle.clone()]).await.unwrap();
    }
    assert!(all(&relay, mailbox(1)).await.is_empty());
    server.run(redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg("0"));
    relay.put(&[(mailbox(1), envelope(3, 1000))]).await.unwrap();
    assert_eq!(all(&relay, mailbox(1)).await, set([envelope(3, 1000)]));
}

#[tokio::test]
async fn a_server_that_loads_its_data_is_waited_for() {
    let slow = ["key-load-delay 300000", "loading-process-events-interval-bytes 1024", "rdbcompression no"];
    let mut server = Server::start(&slow);
    let relay = RedisRelay::prepare(&server.url()).await.unwrap();
    for number in 0..5 {
        relay.put(&[(mailbox(number), envelope(number, 2000))]).await.unwrap();
    }
    server.run(&redis::cmd("SAVE"));
    server.restart();
    let error = RedisRelay::open(&server.url()).await.unwrap_err();
    assert!(matches!(error, RelayError::Transient { reason: Reason::Loading, .. }), "{error:?}");
    let mut events = relay.watch(vec![mailbox(1)]);
    while !matches!(next(&mut events).await, WatchEvent::Gap) {}
    assert_eq!(all(&relay, mailbox(1)).await, set([envelope(1, 2000)]));
}

#[tokio::test]
async fn a_server_with_too_many_clients_is_busy() {
    let server = Server::start(&[]);
    let held = server.connection();
    server.run(redis::cmd("CONFIG").arg("SET").arg("maxclients").arg("1"));
    let error = RedisRelay::prepare(&server.url()).await.unwrap_err();
    assert!(matches!(error, RelayError::Transient { .. }), "{error:?}");
    drop(held);
}

#[tokio::test]
async fn a_replica_takes_no_mail() {
    let server = Server::start(&[]);
    let relay = RedisRelay::prepare(&server.url()).await.unwrap();
    server.run(redis::cmd("REPLICAOF").arg("127.0.0.1").arg("1"));
    let error = relay.put(&[(mailbox(1), envelope(1, 10))]).await.unwrap_err();
    assert!(matches!(error, RelayError::Transient { reason: Reason::Replica, .. }), "{error:?}");
}

#[tokio::test]
async fn a_look_warns_of_what_may_lose_mail() {
    let server = Server::start(&[]);
    let relay = RedisRelay::prepare(&server.url()).await.unwrap();
    let warnings = async || relay.probe().await.unwrap().warnings;
    assert_eq!(warnings().await, [ProbeWarning::NotKept]);
    server.run(redis::cmd("CONFIG").arg("SET").arg("appendonly").arg("yes"));
    assert_eq!(warnings().await, []);
    server.run(redis::cmd("CONFIG").arg("SET").arg("maxmemory-policy").arg("volatile-lru"));
    assert_eq!(warnings().await, [ProbeWarning::MayEvict]);
    let words: Vec<String> = documented().into_iter().filter(|word| word != "+info" && word != "&ntf:*").collect();
    set_user(&server, &words);
    let limited = RedisRelay::prepare(&url(&server)).await.unwrap();
    let warnings = limited.probe().await.unwrap().warnings;
    assert_eq!(warnings, [ProbeWarning::UnknownEviction, ProbeWarning::NoMessages]);
}

#[tokio::test]
async fn without_any_hint_mail_is_found_by_looking() {
    let server = Server::start(&[]);
    let words: Vec<String> =
        documented().into_iter().filter(|word| word != "+client|tracking" && word != "+subscribe").collect();
    set_user(&server, &words);
    let relay = RedisRelay::prepare(&url(&server)).await.unwrap();
    let mut events = relay.watch(vec![mailbox(1), mailbox(2)]);
    assert!(matches!(next(&mut events).await, WatchEvent::Gap));
    for number in 1..=2 {
        assert!(matches!(next(&mut events).await, WatchEvent::Ready(ready) if ready == mailbox(number)));
    }
}

#[tokio::test]
async fn keys_of_another_program_are_left_alone() {
    let server = Server::start(&[]);
    let relay = RedisRelay::prepare(&server.url()).await.unwrap();
    server.run(redis::cmd("SET").arg(keys::mail(mailbox(1))).arg("a recipe"));
    for error in [
        relay.put(&[(mailbox(1), envelope(1, 10))]).await.unwrap_err(),
        relay.fetch(&[Want::all(mailbox(1))], 1000).await.unwrap_err(),
    ] {
        assert!(matches!(error, RelayError::Config(_)) && error.to_string().contains("database"), "{error:?}");
    }
    let kept: String = server.ask(redis::cmd("GET").arg(keys::mail(mailbox(1))));
    assert_eq!(kept, "a recipe");
}
