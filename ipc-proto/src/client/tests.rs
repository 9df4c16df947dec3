//! The client against small servers that answer `Info` over a real socket.
#![cfg(unix)]

use tokio::net::UnixListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{Request, Response, Status};

use super::*;
use crate::v1::SetupState;
use crate::v1::info_server::{Info, InfoServer};

#[tokio::test]
async fn connecting_shakes_hands_and_dials_again_after_a_restart() {
    let home = Home::new();
    let first = home.serve(1, 1);
    let client = Client::connect(&home.connect(0)).await.unwrap();
    assert_eq!(client.info().device_name, "laptop");
    assert_eq!(client.address(), home.connect(0).paths.socket);
    first.stop().await;

    let _second = home.serve(1, 1);
    let again = async {
        while client.get_info().await.is_err() {
            sleep(FIRST_PAUSE).await;
        }
    };
    timeout(Duration::from_secs(20), again).await.expect("the same client reaches the new daemon");
}

#[tokio::test]
async fn without_a_daemon_it_is_unreachable_and_says_how_to_start_one() {
    let home = Home::new();
    let error = Client::connect(&home.connect(0)).await.unwrap_err();
    assert_eq!((error.code(), error.exit_code()), ("daemon_unreachable", 3));
    assert!(error.hint().contains("kin up"), "{error}");
}

#[tokio::test]
async fn a_socket_that_nobody_serves_is_unreachable() {
    let home = Home::new();
    let socket = home.connect(0).paths.socket;
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    assert!(socket.exists());
    let error = Client::connect(&home.connect(0)).await.unwrap_err();
    assert_eq!(error.code(), "daemon_unreachable");
}

#[tokio::test]
async fn a_daemon_that_closes_the_connection_at_once_is_called_busy() {
    let home = Home::new();
    let listener = UnixListener::bind(home.connect(0).paths.socket).unwrap();
    let closing = tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            drop(connection);
        }
    });
    let error = Client::connect(&home.connect(0)).await.unwrap_err();
    assert_eq!((error.code(), error.exit_code(), error.retryable()), ("busy", 1, true), "{error}");
    assert!(error.to_string().contains("as many clients as it can"), "{error}");
    closing.abort();
}

#[test]
fn the_daemon_of_the_home_is_not_waited_for_when_another_socket_was_named() {
    let home = Home::new();
    let mut connect = home.connect(0);
    let endpoint = |address: &Path| Endpoint {
        address: address.into(),
        pid: std::process::id(),
        instance_id: String::new(),
        protocol_min: 1,
        protocol_max: 1,
        version: String::new(),
        started_at_ms: 0,
    };
    let (named, elsewhere) = (connect.paths.socket.clone(), home.dir.path().join("elsewhere.sock"));
    assert!(connect.may_answer(&endpoint(&elsewhere)));
    connect.paths.socket_is_explicit = true;
    assert!(!connect.may_answer(&endpoint(&elsewhere)));
    assert!(connect.may_answer(&endpoint(&named)));
}

#[tokio::test]
async fn a_daemon_that_comes_up_later_is_waited_for() {
    let home = Home::new();
    let connect = home.connect(20);
    let waiting = tokio::spawn(async move { Client::connect(&connect).await });
    sleep(Duration::from_millis(30)).await;
    let _server = home.serve(1, 1);
    assert_eq!(waiting.await.unwrap().unwrap().info().setup(), SetupState::Ready);
}

#[tokio::test]
async fn a_daemon_from_the_future_is_a_version_mismatch_with_both_ranges() {
    let home = Home::new();
    let _server = home.serve(7, 9);
    let error = Client::connect(&home.connect(20)).await.unwrap_err();
    assert_eq!((error.code(), error.exit_code()), ("version_mismatch", 10));
    assert_eq!(error.to_string(), "the daemon 9.9.9 speaks versions 7 to 9 of the local API, this client 1 to 1");
}

#[tokio::test]
async fn endpoint_json_leads_to_a_socket_elsewhere() {
    let home = Home::new();
    let elsewhere = home.dir.path().join("inherited.sock");
    let _server = serve(&elsewhere, 1, 1);
    let mut connect = home.connect(0);
    let endpoint = Endpoint {
        address: elsewhere.clone(),
        pid: std::process::id(),
        instance_id: "1".into(),
        protocol_min: 1,
        protocol_max: 1,
        version: "9.9.9".into(),
        started_at_ms: 1,
    };
    endpoint.write(&connect.paths.endpoint_file()).unwrap();
    assert_eq!(Client::connect(&connect).await.unwrap().address(), elsewhere);

    connect.paths.socket_is_explicit = true;
    std::fs::remove_file(connect.paths.endpoint_file()).unwrap();
    let error = Client::connect(&connect).await.unwrap_err();
    assert_eq!(error.code(), "daemon_unreachable", "an explicit socket is the only place asked");
}

struct Home {
    dir: tempfile::TempDir,
}

impl Home {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn connect(&self, wait_seconds: u64) -> Connect {
        let home = self.dir.path();
        let paths = Paths {
            config: home.into(),
            state: home.into(),
            log: home.into(),
            socket: home.join("k.sock"),
            socket_is_explicit: false,
        };
        Connect { paths, client: "test".into(), wait: Duration::from_secs(wait_seconds), credential: Credential::Owner }
    }

    fn serve(&self, min: u32, max: u32) -> Server {
        serve(&self.connect(0).paths.socket, min, max)
    }
}

/// A server, until it is stopped.
struct Server {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Server {
    async fn stop(self) {
        self.stop.send(()).expect("the server still runs");
        self.task.await.unwrap();
    }
}

/// Serves `Info` on `socket`.
fn serve(socket: &Path, min: u32, max: u32) -> Server {
    if socket.exists() {
        std::fs::remove_file(socket).unwrap();
    }
    let incoming = UnixListenerStream::new(UnixListener::bind(socket).unwrap());
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(async move {
        let server = tonic::transport::Server::builder().add_service(InfoServer::new(Fixed { min, max }));
        let stopped = async { stopped.await.unwrap_or_default() };
        server.serve_with_incoming_shutdown(incoming, stopped).await.unwrap();
    });
    Server { stop, task }
}

struct Fixed {
    min: u32,
    max: u32,
}

#[tonic::async_trait]
impl Info for Fixed {
    async fn get_info(&self, _: Request<GetInfoRequest>) -> Result<Response<GetInfoResponse>, Status> {
        Ok(Response::new(GetInfoResponse {
            version: "9.9.9".into(),
            protocol_min: self.min,
            protocol_max: self.max,
            setup: SetupState::Ready.into(),
            device_name: "laptop".into(),
            ..GetInfoResponse::default()
        }))
    }
}
