//! The socket on a real file system.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::ipc::pipe::SLOW;
use crate::ipc::room::MAX_CONNECTIONS;

#[tokio::test]
async fn the_socket_is_for_its_owner_only_and_so_is_its_new_directory() {
    let home = tempfile::tempdir().unwrap();
    let address = home.path().join("run/k.sock");
    let listener = Listener::bind(&address).unwrap();
    assert_eq!((mode(&address), mode(&home.path().join("run"))), (0o600, 0o700));
    drop(listener);
    assert!(!address.exists(), "the socket goes with its listener");
}

#[tokio::test]
async fn a_socket_that_nobody_serves_is_replaced() {
    let home = private();
    let address = home.path().join("k.sock");
    drop(UnixListener::bind(&address).unwrap());
    assert!(address.exists());
    Listener::bind(&address).unwrap();
}

#[tokio::test]
async fn a_socket_that_answers_is_left_alone() {
    let home = private();
    let address = home.path().join("k.sock");
    let other = UnixListener::bind(&address).unwrap();
    assert!(matches!(Listener::bind(&address), Err(ListenError::InUse(_))));
    UnixStream::connect(&address).expect("the other one still listens");
    drop(other);
}

#[tokio::test]
async fn a_file_in_the_place_of_the_socket_is_not_removed() {
    let home = private();
    let address = home.path().join("k.sock");
    std::fs::write(&address, "precious").unwrap();
    assert!(matches!(Listener::bind(&address), Err(ListenError::NotASocket(_))));
    assert_eq!(std::fs::read_to_string(&address).unwrap(), "precious");
}

#[tokio::test]
async fn a_directory_that_others_may_enter_or_that_is_a_link_is_refused() {
    let home = private();
    let open = home.path().join("open");
    std::fs::create_dir(&open).unwrap();
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o750)).unwrap();
    assert_eq!(fault(&open), DirectoryFault::Open(0o750));

    let link = home.path().join("link");
    symlink(private().path(), &link).unwrap();
    let dangling = matches!(Listener::bind(&link.join("k.sock")), Err(ListenError::System { .. }));
    assert!(dangling, "a link to nowhere is not followed");
    let target = private();
    std::fs::remove_file(&link).unwrap();
    symlink(target.path(), &link).unwrap();
    assert_eq!(fault(&link), DirectoryFault::NotADirectory);
}

#[test]
fn only_our_own_user_gets_in_and_an_unnamed_one_does_not() {
    assert!(admits(1000, Some(1000)));
    assert!(!admits(1000, Some(1001)));
    assert!(!admits(1000, Some(0)), "not even the administrator");
    assert!(!admits(1000, None));
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed_and_a_freed_place_is_taken_again() {
    let home = private();
    let address = home.path().join("k.sock");
    let (accepted, mut connections) = mpsc::channel(MAX_CONNECTIONS + 1);
    let listener = Listener::bind(&address).unwrap();
    let accepting = tokio::spawn(listener.accept(Room::of_the_daemon(), SLOW, accepted));

    let mut clients = Vec::new();
    let mut served = Vec::new();
    for _ in 0..MAX_CONNECTIONS {
        clients.push(tokio::net::UnixStream::connect(&address).await.unwrap());
        served.push(connections.recv().await.unwrap().unwrap());
    }
    let mut surplus = tokio::net::UnixStream::connect(&address).await.unwrap();
    assert_eq!(surplus.read(&mut [0; 1]).await.unwrap(), 0, "closed");

    drop(served.pop());
    let _again = tokio::net::UnixStream::connect(&address).await.unwrap();
    assert!(connections.recv().await.unwrap().is_ok());

    drop(connections);
    accepting.await.unwrap();
    assert!(!address.exists());
}

#[tokio::test]
async fn who_says_nothing_is_disconnected() {
    let (mut connection, mut client) = connected().await;
    client.write_all(b"PRI * HTTP/2.0").await.unwrap();
    let mut buffer = [0; 64];
    assert_eq!(connection.read(&mut buffer).await.unwrap(), 14);
    let error = connection.read(&mut buffer).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}

#[tokio::test]
async fn who_has_greeted_may_be_silent() {
    let (mut connection, mut client) = connected().await;
    client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    let mut buffer = [0; 64];
    assert_eq!(connection.read(&mut buffer).await.unwrap(), PREFACE);
    sleep(SHORT * 2).await;
    client.write_all(b"x").await.unwrap();
    assert_eq!(connection.read(&mut buffer).await.unwrap(), 1);
}

#[tokio::test]
async fn who_takes_nothing_of_what_it_is_sent_is_disconnected() {
    let (mut connection, _client) = connected().await;
    let flood = vec![0; 1 << 20];
    // More than a socket holds.
    let error = loop {
        if let Err(error) = connection.write_all(&flood).await {
            break error;
        }
    };
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}

#[tokio::test]
async fn who_leaves_a_reply_lying_is_disconnected_and_who_takes_it_in_time_is_not() {
    let (mut connection, mut client) = connected().await;
    client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    let mut buffer = [0; 64];
    assert_eq!(connection.read(&mut buffer).await.unwrap(), PREFACE);
    let line = connection.line.clone();
    drop(line.owe());
    let (heard, talk) = tokio::join!(connection.read(&mut buffer), async {
        sleep(SHORT * 2).await;
        client.write_all(b"x").await.unwrap();
        // While it waits for the next byte.
        line.owe()
    });
    assert_eq!(heard.unwrap(), 1);
    let error = connection.read(&mut buffer).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    drop(talk);
}

/// Times that tests can wait for.
const SHORT: Duration = Duration::from_millis(40);

/// Both ends of a connection.
async fn connected() -> (Connection, tokio::net::UnixStream) {
    let home = private();
    let address = home.path().join("k.sock");
    let listener = Listener::bind(&address).unwrap();
    let client = tokio::net::UnixStream::connect(&address).await.unwrap();
    let stream = listener.socket.accept().await.unwrap();
    let place = Room::of_a_connection().take(Kind::Connection).unwrap();
    (Connection::new(stream, place, SHORT, SHORT), client)
}

fn private() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    home
}

fn fault(directory: &Path) -> DirectoryFault {
    match Listener::bind(&directory.join("k.sock")) {
        Err(ListenError::Directory { fault, .. }) => fault,
        other => panic!("expected a refused directory, got {other:?}"),
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
}
