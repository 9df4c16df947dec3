//! TLS: an authority of one's own, and what is refused.

use std::fs;
use std::net::TcpListener;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;

use super::*;
use crate::relay::conformance::{all, envelope, mailbox, next, set};
use crate::relay::error::ConfigError;
use crate::relay::{WatchEvent, connect};

/// A server with a certificate for `names`, and the authority that signed it.
struct Secured {
    server: Server,
    port: u16,
    files: TempDir,
}

impl Secured {
    fn start(names: &[&str]) -> Self {
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &authority).unwrap();
        let files = tempfile::tempdir().unwrap();
        let write = |name: &str, text: String| {
            let path = files.path().join(name);
            fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let settings = [
            format!("tls-port {port}"),
            format!("tls-cert-file {}", write("server.pem", certificate.pem())),
            format!("tls-key-file {}", write("key.pem", key.serialize_pem())),
            format!("tls-ca-cert-file {}", write("ca.pem", authority.as_ref().pem())),
            "tls-auth-clients no".to_owned(),
        ];
        let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
        Self { server: Server::start(&settings), port, files }
    }

    fn url(&self, host: &str, query: &str) -> RelayUrl {
        RelayUrl::parse(&format!("rediss://{host}:{}/{query}", self.port)).unwrap()
    }

    fn authority(&self) -> String {
        format!("?ca={}", self.files.path().join("ca.pem").display())
    }
}

#[tokio::test]
async fn mail_and_hints_pass_over_tls_with_an_authority_of_ones_own() {
    let secured = Secured::start(&["localhost", "127.0.0.1"]);
    let plain = RedisRelay::prepare(&secured.server.url()).await.unwrap();
    for host in ["localhost", "127.0.0.1"] {
        let relay = connect(&secured.url(host, &secured.authority())).await.unwrap();
        assert_eq!(relay.id(), plain.id(), "one storage, whatever the way");
        let mut events = relay.watch(vec![mailbox(1)]);
        assert!(matches!(next(&mut events).await, WatchEvent::Gap));
        plain.put(&[(mailbox(1), envelope(1, 100_000))]).await.unwrap();
        plain.put(&[(mailbox(1), envelope(2, 100_000))]).await.unwrap();
        while !matches!(next(&mut events).await, WatchEvent::Ready(ready) if ready == mailbox(1)) {}
        assert_eq!(all(&*relay, mailbox(1)).await, set([envelope(1, 100_000), envelope(2, 100_000)]));
        relay.probe().await.unwrap();
        secured.server.run(redis::cmd("DEL").arg(keys::mail(mailbox(1))));
    }
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused() {
    let secured = Secured::start(&["localhost"]);
    let other = Secured::start(&["localhost"]);
    for url in [
        secured.url("localhost", ""),
        secured.url("localhost", &other.authority()),
        // Signed, but for another name.
        secured.url("127.0.0.1", &secured.authority()),
    ] {
        let refused = RedisRelay::prepare(&url).await.unwrap_err();
        assert!(matches!(refused, RelayError::Config(ConfigError::Untrusted { .. })), "{url}: {refused:?}");
        assert!(refused.to_string().contains("?ca="), "{refused}");
    }
    let there: i64 = secured.server.ask(&redis::cmd("DBSIZE"));
    assert_eq!(there, 0, "nothing was written before the server had proved its name");
}
