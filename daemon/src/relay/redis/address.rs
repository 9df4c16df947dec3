//! A relay URL as the address of a Redis server.
//!
//! ```text
//! redis://[[user]:password@]host[:port][/database]
//! rediss://…                        the same over TLS, checked against the authorities this machine trusts
//! rediss://…?ca=/path/to/ca.pem     …or against these alone; each device needs the file at that path
//! ```
//! Signs with a meaning in URLs (`@ / : # ? %`) are written as percent escapes in user and password. There is no way to skip the check of a
//! certificate: a server's own authority is one file.

use std::path::PathBuf;
use std::sync::Once;

use redis::io::tcp::TcpSettings;
use redis::{Client, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, TlsCertificates};

use crate::relay::error::ConfigError;
use crate::relay::url::{self, RelayUrl, percent_decode};

/// Largest file of authorities: 1 MiB; the list of a whole system has a quarter of it.
const MAX_CA: u64 = 1 << 20;
/// The one parameter a URL may have.
const CA: &str = "ca";

/// Where a server is, and how to log in.
pub(super) struct Address {
    /// Makes connections. Holds the password, so it is never shown.
    pub(super) client: Client,
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
        let mut authorities = None;
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            match parameter.split_once('=') {
                Some((CA, path)) if url.scheme() == url::REDISS => {
                    let path = percent_decode(path).ok_or_else(|| bad("its ca= is no path"))?;
                    authorities = Some(read_authorities(path.into()).await?);
                }
                Some((CA, _)) => return Err(bad("ca= needs rediss://")),
                Some(_) | None => return Err(bad("the only parameter is ca=/path/to/ca.pem, with rediss://")),
            }
        }
        let wrong = |_said| bad("it is written redis://user:password@host:6379/0");
        let info = settings(base.into_connection_info().map_err(wrong)?);
        let client = if url.scheme() == url::REDISS {
            choose_cryptography();
            match authorities {
                Some(pem) => Client::build_with_tls(info, TlsCertificates { client_tls: None, root_cert: Some(pem) })
                    .map_err(|_said| bad("its ca= names a file that holds no certificate"))?,
                None => Client::open(info).map_err(wrong)?,
            }
        } else {
            Client::open(info).map_err(wrong)?
        };
        Ok(Self { client, place })
    }
}

fn settings(info: ConnectionInfo) -> ConnectionInfo {
    let login = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3).set_skip_set_lib_name();
    info.set_redis_settings(login).set_tcp_settings(TcpSettings::default().set_nodelay(true))
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

/// rustls is built with one provider, and wants to be told so once.
fn choose_cryptography() {
    static CHOSEN: Once = Once::new();
    CHOSEN.call_once(|| {
        // Somebody else in this process may have chosen already, and can only have chosen the same.
        drop(rustls::crypto::ring::default_provider().install_default());
    });
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
        let info = address.client.get_connection_info();
        assert_eq!(info.addr().to_string(), "relay.example:7000");
        let login = info.redis_settings();
        assert_eq!((login.username(), login.password(), login.db()), (Some("kin"), Some("p@ss/#"), 3));
        let plain = read("redis://[::1]").await.unwrap();
        assert_eq!(plain.client.get_connection_info().addr().to_string(), "::1:6379");
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
