//! The whole local API, from a real client over a real socket down to a real store and back.

mod admin;
mod apps;
mod conflicts;
mod conversations;
mod following;
mod history;
mod limits;
mod marking;
mod proof;
mod records;
mod syncing;
mod watching;

use std::path::Path;
use std::time::Duration;

use ipc_proto::v1::{self, InitRequest, op};
use ipc_proto::{Client, Connect, Credential, Paths};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tonic::Status;

use super::error::code;
use super::*;
use crate::config::Spans;
use crate::setup::private_dir;

/// A daemon in a home of its own, and a client of it.
struct Served {
    home: TempDir,
    client: Client,
    daemon: Arc<Daemon>,
    shutdown: Shutdown,
    room: Room,
    serving: JoinHandle<Result<(), IpcError>>,
}

impl Served {
    /// A daemon without a device.
    async fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        private_dir(&home.path().join("state")).unwrap();
        private_dir(&home.path().join("config")).unwrap();
        Self::in_home(home).await
    }

    /// A first device called `name`.
    async fn first(name: &str) -> Self {
        let served = Self::new().await;
        let request = InitRequest { device_name: name.into(), ..InitRequest::default() };
        served.client.admin().init(request).await.unwrap();
        served
    }

    async fn in_home(home: TempDir) -> Self {
        Self::patiently(home, [SLOW; 2]).await
    }

    /// A daemon whose clients have so much time to take an event, and what they are sent at all.
    async fn patiently(home: TempDir, patience: [Duration; 2]) -> Self {
        let paths = Paths::in_home(home.path()).unwrap();
        let shutdown = Shutdown::never();
        let daemon = Daemon::open(&paths, Spans::default(), shutdown.clone()).await.unwrap();
        let listener = Listener::bind(&paths.socket).unwrap();
        let room = Room::of_the_daemon();
        let serving = serve_within(room.clone(), patience, listener, Arc::clone(&daemon), shutdown.clone());
        let serving = tokio::spawn(serving);
        let connect =
            Connect { paths, client: "test".into(), wait: Duration::from_secs(30), credential: Credential::Owner };
        let client = Client::connect(&connect).await.unwrap();
        Self { home, client, daemon, shutdown, room, serving }
    }

    /// Ends the daemon and gives its home back.
    async fn stop(self) -> TempDir {
        self.shutdown.begin();
        self.serving.await.unwrap().unwrap();
        self.daemon.stop().await;
        self.home
    }

    /// Ends the daemon and starts another one in the same home.
    async fn restart(self) -> Self {
        Self::in_home(self.stop().await).await
    }

    /// A client that shows this.
    async fn client_with(&self, credential: Credential) -> Client {
        let paths = Paths::in_home(self.home.path()).unwrap();
        let connect = Connect { paths, client: "test".into(), wait: Duration::ZERO, credential };
        Client::connect(&connect).await.unwrap()
    }

    /// A folder in the home, as a relay URL.
    fn folder(&self, name: &str) -> String {
        folder_url(&self.home.path().join(name))
    }

    async fn push(&self, ops: Vec<op::Op>) -> v1::PushResponse {
        self.client.records().push(push(ops)).await.unwrap().into_inner()
    }
}

fn folder_url(path: &Path) -> String {
    format!("file://{}", path.display())
}

fn push(ops: Vec<op::Op>) -> v1::PushRequest {
    let ops = ops.into_iter().map(|op| v1::Op { op: Some(op) }).collect();
    v1::PushRequest { ops, ..v1::PushRequest::default() }
}

fn put(collection: &str, key: &str, title: &str) -> op::Op {
    let value = v1::Value { kind: Some(v1::value::Kind::String(title.into())) };
    let fields = [("title".to_owned(), value)].into();
    op::Op::PutRecord(v1::PutRecord {
        collection: collection.into(),
        key: key.into(),
        fields,
        ..v1::PutRecord::default()
    })
}

fn delete(collection: &str, key: &str) -> op::Op {
    op::Op::DeleteRecord(v1::DeleteRecord { collection: collection.into(), key: key.into(), base_row_version: None })
}

fn message(conversation: &str, id: &str, text: &str) -> v1::Message {
    let body = Some(v1::message::Body::Text(text.into()));
    v1::Message { conversation: conversation.into(), id: id.into(), body, ..v1::Message::default() }
}

fn post(conversation: &str, id: &str, text: &str) -> op::Op {
    op::Op::PostMessage(message(conversation, id, text))
}

fn detail(status: &Status) -> ErrorDetail {
    ErrorDetail::from_status(status).unwrap()
}
