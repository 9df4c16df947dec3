//! A TCP proxy between a relay and its server that misbehaves when told to.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Ends with the test's runtime.
pub(in crate::relay) struct Proxy {
    /// Where it listens, on loopback.
    pub(in crate::relay) port: u16,
    faults: Arc<Faults>,
    cuts: watch::Sender<u64>,
}

#[derive(Default)]
struct Faults {
    /// Answers are read and thrown away.
    mute: AtomicBool,
    /// Milliseconds that each piece of an answer is held back.
    delay: AtomicU64,
    /// Bytes that still go to the server before everything is cut; negative: no bound.
    asked: AtomicI64,
    /// The same for answers.
    answered: AtomicI64,
}

impl Proxy {
    pub(in crate::relay) async fn start(server: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let faults = Arc::new(Faults { asked: (-1).into(), answered: (-1).into(), ..Faults::default() });
        let cuts = watch::Sender::new(0);
        let (shared, cutter) = (Arc::clone(&faults), cuts.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, server)).await else { continue };
                client.set_nodelay(true).unwrap();
                server.set_nodelay(true).unwrap();
                tokio::spawn(carry(client, server, Arc::clone(&shared), cutter.clone()));
            }
        });
        Self { port, faults, cuts }
    }

    /// Cuts all connections; new ones are served.
    pub(in crate::relay) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Cuts all connections once so many bytes have gone to the server.
    pub(in crate::relay) fn cut_after_asking(&self, bytes: i64) {
        self.faults.asked.store(bytes, Ordering::SeqCst);
    }

    /// Cuts all connections once so many bytes of answers have come through.
    pub(in crate::relay) fn cut_after_answering(&self, bytes: i64) {
        self.faults.answered.store(bytes, Ordering::SeqCst);
    }

    /// Throws all answers away, or no longer.
    pub(in crate::relay) fn mute(&self, mute: bool) {
        self.faults.mute.store(mute, Ordering::SeqCst);
    }

    /// Holds each piece of an answer back for so long.
    pub(in crate::relay) fn delay(&self, span: Duration) {
        self.faults.delay.store(u64::try_from(span.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

/// Carries one connection until either end closes or it is cut. What was asked may be cut away unread, which resets the connection.
async fn carry(client: TcpStream, server: TcpStream, faults: Arc<Faults>, cuts: watch::Sender<u64>) {
    let mut cut = cuts.subscribe();
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        () = pass(from_client, to_server, &faults.asked, &cuts, async |_: &Faults| true, &faults) => {}
        () = pass(from_server, to_client, &faults.answered, &cuts, let_through, &faults) => {}
        _ = cut.changed() => {}
    }
}

async fn let_through(faults: &Faults) -> bool {
    tokio::time::sleep(Duration::from_millis(faults.delay.load(Ordering::SeqCst))).await;
    !faults.mute.load(Ordering::SeqCst)
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    allowance: &AtomicI64,
    cuts: &watch::Sender<u64>,
    goes: impl AsyncFn(&Faults) -> bool,
    faults: &Faults,
) {
    let mut piece = vec![0; 16 << 10];
    while let Ok(read @ 1..) = from.read(&mut piece).await {
        if !goes(faults).await {
            continue;
        }
        let allowed = allowance.load(Ordering::SeqCst);
        let left = usize::try_from(allowed).unwrap_or(usize::MAX).min(read);
        if to.write_all(&piece[..left]).await.is_err() {
            return;
        }
        if allowed < 0 {
            continue;
        }
        if left < read || allowed == i64::try_from(left).unwrap() {
            allowance.store(-1, Ordering::SeqCst);
            to.flush().await.ok();
            cuts.send_modify(|cuts| *cuts += 1);
            return;
        }
        allowance.store(allowed - i64::try_from(left).unwrap(), Ordering::SeqCst);
    }
}
