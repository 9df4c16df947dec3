//! The contract on a real server, and what only a server can do to mail.

use std::collections::BTreeMap;

use redis::Value;

use super::*;
use crate::relay::conformance::wire::{SHORT, Wired};
use crate::relay::conformance::{self, BUDGET, Bed};

mod access;
mod emptied;
mod hostile;
mod loss;
mod server;
mod tls;

use self::server::Server;

struct OnServer(Server);

impl OnServer {
    fn new() -> Self {
        Self(Server::start(&[]))
    }
}

#[async_trait]
impl Bed for OnServer {
    async fn relay(&self) -> Arc<dyn Relay> {
        let limits = Limits { mailbox_bytes: BUDGET, ..Limits::default() };
        Arc::new(RedisRelay::prepare_with(&self.0.url(), limits).await.unwrap())
    }

    /// A member without a whole id: nothing smaller can be left half-written by a server.
    async fn tear(&self, mailbox: Mailbox, envelope: &Envelope) {
        let half = &envelope.id.as_bytes()[..8];
        self.0.run(redis::cmd("ZADD").arg(keys::mail(mailbox)).arg(self.0.micros()).arg(half));
    }

    /// Moves all scores, and the ends of all keys.
    async fn age(&self, span: Duration) {
        let micros = deposit::micros(span) as f64;
        let names: Vec<String> = self.0.ask(redis::cmd("KEYS").arg("msg:*"));
        for name in names {
            let scores: BTreeMap<Vec<u8>, f64> =
                self.0.ask(redis::cmd("ZRANGE").arg(&name).arg(0).arg(-1).arg("WITHSCORES"));
            for (member, score) in scores {
                self.0.run(redis::cmd("ZADD").arg(&name).arg("XX").arg(score - micros).arg(member));
            }
            self.0.run(redis::cmd("HINCRBY").arg(format!("mb:{{{name}}}")).arg("hi").arg(-micros as i64));
        }
        let names: Vec<String> = self.0.ask(redis::cmd("KEYS").arg("*"));
        for name in names {
            let lives: i64 = self.0.ask(redis::cmd("PTTL").arg(&name));
            if lives >= 0 {
                let left = lives - i64::try_from(span.as_millis()).unwrap();
                let _: Value = self.0.ask(redis::cmd("PEXPIRE").arg(&name).arg(left));
            }
        }
    }
}

#[async_trait]
impl Wired for OnServer {
    fn port(&self) -> u16 {
        self.0.port
    }

    async fn relay_over(&self, port: u16) -> Arc<dyn Relay> {
        let url = RelayUrl::parse(&format!("redis://127.0.0.1:{port}")).unwrap();
        let limits = Limits { mailbox_bytes: BUDGET, response: SHORT };
        Arc::new(RedisRelay::prepare_with(&url, limits).await.unwrap())
    }
}

conformance::suite!(OnServer::new());
conformance::suite!(over_wire: OnServer::new());
