//! A relay URL as the address of a Redis server.
//!
//! ```text
//! redis://[[user]:password@]host[:port][/database]
//! rediss://…                        the same over TLS, checked against the authorities this machine trusts
//! rediss://…?ca=/path/to/ca.pem     …or against these alone; each device needs the file at that path
//! ```
//! Signs with a meaning in URLs (`@ / : # ? %`) are written as percent escapes in user and password. There is no way to skip the check of a
//! certificate: a server's own authority is one file.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use redis::{ConnectionAddr, IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::stream::Duplex;
use crate::relay::error::ConfigError;
use crate::relay::url::{self, RelayUrl, percent_decode};

/// Largest file of authorities: 1 MiB; the list of a whole system has a quarter of it.
const MAX_CA: u64 = 1 << 20;
/// The one parameter a URL may have.
const CA: &str = "ca";

/// Where a server is, and how to log in.
pub(super) struct Address {
    host: String,
    port: u16,
    /// How to check whose server it is; `None` without TLS.
    tls: Option<(TlsConnector, ServerName<'static>)>,
    /// User, password and database. Never shown.
    pub(super) login: RedisConnectionInfo,
    /// The URL as people may see it.
    pub(super) place: String,
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Address({})", self.place)
    }
}

impl Address {
    /// Reads a URL, and the file of authorities if it names one.
    pub(super) async fn read(url: &RelayUrl) -> Result<Self, ConfigError> {
        let place = url.to_string();
        let text = url.expose();
        let bad = |why| ConfigError::BadServerUrl { place: place.clone(), why };
        if text.contains('#') {
            return Err(bad("a # in it is written %23"));
        }
        let (base, query) = text.split_once('?').unwrap_or((&text, ""));
        let secured = url.scheme() == url::REDISS;
        let mut authorities = None;
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            match parameter.split_once('=') {
                Some((CA, path)) if secured => {
                    let path = percent_decode(path).ok_or_else(|| bad("its ca= is no path"))?;
                    authorities = Some(read_authorities(path.into()).await?);
                }
                Some((CA, _)) => return Err(bad("ca= needs rediss://")),
                Some(_) | None => return Err(bad("the only parameter is ca=/path/to/ca.pem, with rediss://")),
            }
        }
        // The library reads the rest; TLS is ours.
        let (_scheme, rest) = base.split_once("://").unwrap_or_default();
        let plain = zeroize::Zeroizing::new(format!("{}://{rest}", url::REDIS));
        let wrong = || bad("it is written redis://user:password@host:6379/0");
        let info = plain.as_str().into_connection_info().map_err(|_said| wrong())?;
        let ConnectionAddr::Tcp(host, port) = info.addr().clone() else { return Err(wrong()) };
        let tls = if secured {
            let trusted = match authorities {
                Some(pem) => trusting(&pem).ok_or_else(|| bad("its ca= names a file that holds no certificate"))?,
                None => trusting_the_system(),
            };
            Some((connector(trusted)?, ServerName::try_from(host.clone()).map_err(|_invalid| wrong())?))
        } else {
            None
        };
        let login = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3).set_skip_set_lib_name();
        Ok(Self { host, port, tls, login, place })
    }

    /// Connects, and checks whose server it is.
    pub(super) async fn connect(&self) -> io::Result<Box<dyn Duplex>> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        stream.set_nodelay(true)?;
        match &self.tls {
            Some((connector, name)) => Ok(Box::new(connector.connect(name.clone(), stream).await?)),
            None => Ok(Box::new(stream)),
        }
    }
}

async fn read_authorities(path: PathBuf) -> Result<Vec<u8>, ConfigError> {
    use tokio::io::AsyncReadExt;
    let mut pem = Vec::new();
    let read = async {
        let file = tokio::fs::File::open(&path).await?;
        file.take(MAX_CA).read_to_end(&mut pem).await
    };
    match read.await {
        Ok(_) => Ok(pem),
        Err(source) => Err(ConfigError::Authorities { path, source }),
    }
}

/// The certificates of a file; `None` when one cannot be read or none is there.
fn trusting(pem: &[u8]) -> Option<RootCertStore> {
    let mut trusted = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        trusted.add(certificate.ok()?).ok()?;
    }
    (!trusted.is_empty()).then_some(trusted)
}

/// The authorities this machine trusts. Of a list of a hundred a few may be unreadable; the others count.
fn trusting_the_system() -> RootCertStore {
    let mut trusted = RootCertStore::empty();
    trusted.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    trusted
}

fn connector(trusted: RootCertStore) -> Result<TlsConnector, ConfigError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| ConfigError::Tls(error.to_string()))?;
    Ok(TlsConnector::from(Arc::new(config.with_root_certificates(trusted).with_no_client_auth())))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(text: &str) -> Result<Address, ConfigError> {
        Address::read(&RelayUrl::parse(text).unwrap()).await
    }

    #[tokio::test]
    async fn user_password_port_and_database_are_read() {
        let address = read("redis://kin:p%40ss%2F%23@relay.example:7000/3").await.unwrap();
        assert_eq!((address.host.as_str(), address.port), ("relay.example", 7000));
        let login = &address.login;
        assert_eq!((login.username(), login.password(), login.db()), (Some("kin"), Some("p@ss/#"), 3));
        let plain = read("redis://[::1]").await.unwrap();
        assert_eq!((plain.host.as_str(), plain.port), ("::1", 6379));
    }

    #[tokio::test]
    async fn what_cannot_be_meant_is_refused_with_the_reason() {
        for (text, word) in [
            ("redis://", "redis://user"),
            ("redis://host/notes", "redis://user"),
            ("redis://host/0#insecure", "%23"),
            ("rediss://host?verify=no", "ca="),
            ("redis://host?ca=/x", "rediss://"),
            ("rediss://host?ca=/nowhere/ca.pem", "/nowhere/ca.pem"),
        ] {
            let words = read(text).await.unwrap_err().to_string();
            assert!(words.contains(word), "{text}: {words}");
        }
        let empty = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&empty, "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n").unwrap();
        let words = read(&format!("rediss://host?ca={}", empty.path().display())).await.unwrap_err().to_string();
        assert!(words.contains("no certificate"), "{words}");
    }

    #[tokio::test]
    async fn the_password_is_shown_nowhere() {
        let address = read("redis://kin:canary@relay.example").await.unwrap();
        assert!(!format!("{address:?}").contains("canary"));
        let words = read("redis://kin:canary@relay.example/x").await.unwrap_err();
        assert!(!format!("{words} {words:?}").contains("canary"));
    }
}
