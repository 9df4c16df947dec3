//! A TCP proxy that misbehaves on request: it holds answers back, cuts connections in the middle, or lets nobody in.
//!
//! One thread takes connections, two carry the bytes of each. What is asked of it holds for connections that are open as well.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::ServerError;

/// A proxy in front of a port of this machine.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    target: u16,
    /// How long answers are held back, in milliseconds.
    delay: AtomicU64,
    /// How many more bytes are let through towards the server before everything is cut; negative: all.
    allowance: AtomicI64,
    closed: AtomicBool,
    /// Whether connections are served.
    admits: AtomicBool,
    /// Both ends of what is open.
    open: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    /// Listens on a free port.
    ///
    /// # Errors
    /// When there is none.
    pub fn start(target: u16) -> Result<Self, ServerError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(ServerError::io("opening a port"))?;
        let port = listener.local_addr().map_err(ServerError::io("opening a port"))?.port();
        let shared = Arc::new(Shared {
            target,
            delay: AtomicU64::new(0),
            allowance: AtomicI64::new(-1),
            closed: AtomicBool::new(false),
            admits: AtomicBool::new(true),
            open: Mutex::new(Vec::new()),
        });
        let taking = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming() {
                if taking.closed.load(Ordering::SeqCst) {
                    return;
                }
                // A client that cannot be served finds its connection closed.
                drop(client.and_then(|client| serve(&taking, client)));
            }
        });
        Ok(Self { port, shared })
    }

    /// Where it listens, on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Holds back every answer that comes from now on for so long.
    pub fn delay_answers(&self, delay: Duration) {
        let millis = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        self.shared.delay.store(millis, Ordering::SeqCst);
    }

    /// Lets so many more bytes through to the server and then cuts all connections, once.
    pub fn cut_after(&self, bytes: u32) {
        self.shared.allowance.store(bytes.into(), Ordering::SeqCst);
    }

    /// Whether the cut that was asked for is still to come.
    pub fn cut_is_due(&self) -> bool {
        self.shared.allowance.load(Ordering::SeqCst) >= 0
    }

    /// Lets connections in, or cuts all and lets nobody in.
    pub fn admit(&self, admits: bool) {
        self.shared.admits.store(admits, Ordering::SeqCst);
        if !admits {
            self.shared.cut();
        }
    }

    /// Cuts all connections. New ones are served.
    pub fn cut(&self) {
        self.shared.cut();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        self.shared.cut();
        // Wakes the thread that takes connections; it looks at `closed` and ends.
        drop(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)));
    }
}

impl Shared {
    fn cut(&self) {
        for stream in self.open.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // It may be closed already.
            drop(stream.shutdown(Shutdown::Both));
        }
    }
}

fn serve(shared: &Arc<Shared>, client: TcpStream) -> io::Result<()> {
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, shared.target))?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    {
        let mut open = shared.open.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock: who is let in before the gate is shut is cut when it is.
        if !shared.admits.load(Ordering::SeqCst) {
            return Ok(());
        }
        open.extend([client.try_clone()?, server.try_clone()?]);
    }
    let (asked, answered) = ((client.try_clone()?, server.try_clone()?), (server, client));
    for ((from, to), answers) in [(asked, false), (answered, true)] {
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            // Either end may be gone at any time; then so is the other.
            drop(carry(&shared, &from, &to, answers));
            drop(from.shutdown(Shutdown::Both));
            drop(to.shutdown(Shutdown::Both));
        });
    }
    Ok(())
}

/// Bytes carried at once: 16 KiB.
const CHUNK: usize = 16 << 10;

fn carry(shared: &Shared, mut from: &TcpStream, mut to: &TcpStream, answers: bool) -> io::Result<()> {
    let mut chunk = [0; CHUNK];
    loop {
        let got = from.read(&mut chunk)?;
        let bytes = chunk.get(..got).unwrap_or_default();
        if bytes.is_empty() {
            return Ok(());
        }
        if answers {
            thread::sleep(Duration::from_millis(shared.delay.load(Ordering::SeqCst)));
            to.write_all(bytes)?;
            continue;
        }
        let allowance = shared.allowance.load(Ordering::SeqCst);
        let Ok(left) = usize::try_from(allowance) else {
            to.write_all(bytes)?;
            continue;
        };
        let through = bytes.get(..left.min(bytes.len())).unwrap_or_default();
        to.write_all(through)?;
        if through.len() < bytes.len() {
            shared.allowance.store(-1, Ordering::SeqCst);
            shared.cut();
            return Ok(());
        }
        shared.allowance.fetch_sub(i64::try_from(through.len()).unwrap_or(i64::MAX), Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::servers::redis_server::RedisServer;
    use crate::servers::resp::Connection;

    #[test]
    fn a_cut_comes_in_the_middle_of_what_is_sent_and_once() {
        let server = RedisServer::start(&[]).unwrap();
        let proxy = Proxy::start(server.port()).unwrap();
        let mut connection = Connection::open(proxy.port()).unwrap();
        assert_eq!(connection.ask(&["SET", "k", "whole"]).unwrap().unwrap(), "OK");
        proxy.cut_after(20);
        assert!(connection.ask(&["SET", "k", "torn"]).is_err());
        assert!(!proxy.cut_is_due());
        let mut connection = Connection::open(proxy.port()).unwrap();
        assert_eq!(connection.ask(&["GET", "k"]).unwrap().unwrap(), "whole");
    }

    #[test]
    fn nobody_is_let_in_while_the_gate_is_shut() {
        let server = RedisServer::start(&[]).unwrap();
        let proxy = Proxy::start(server.port()).unwrap();
        let mut before = Connection::open(proxy.port()).unwrap();
        assert!(before.ask(&["PING"]).is_ok());
        proxy.admit(false);
        assert!(before.ask(&["PING"]).is_err());
        assert!(Connection::open(proxy.port()).and_then(|mut during| during.ask(&["PING"])).is_err());
        proxy.admit(true);
        assert!(Connection::open(proxy.port()).unwrap().ask(&["PING"]).is_ok());
    }
}
