//! The address of a relay as a person writes it. It may hold a password or a token, so it shows itself redacted and
//! wipes its memory.

use std::cmp::Ordering;
use std::fmt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::error::ConfigError;

/// Longest accepted URL in bytes: as long as a pairing card can carry.
pub const MAX_BYTES: usize = 512;

/// Scheme of a shared folder.
pub const FILE: &str = "file";

/// Scheme of a Redis server.
pub const REDIS: &str = "redis";

/// Scheme of a Redis server behind TLS.
pub const REDISS: &str = "rediss";

/// Every scheme that [`super::connect`] answers.
pub const SUPPORTED: &[&str] = &[FILE, REDIS, REDISS];

/// The supported schemes as a person reads them.
pub(super) fn supported() -> String {
    let spelled: Vec<String> = SUPPORTED.iter().map(|scheme| format!("{scheme}://")).collect();
    spelled.join(", ")
}

/// The address of a relay. `Display` and `Debug` hide passwords and query values; [`RelayUrl::expose`] does not.
#[derive(Clone, Eq, PartialEq)]
pub struct RelayUrl {
    scheme: String,
    /// All that follows `://`.
    rest: Zeroizing<String>,
}

impl RelayUrl {
    /// Reads a URL, or an absolute path as a `file://` URL. The scheme need not be one we support.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        if text.len() > MAX_BYTES {
            return Err(ConfigError::TooLong { max: MAX_BYTES, got: text.len() });
        }
        if text.chars().any(char::is_control) {
            return Err(ConfigError::NotAUrl);
        }
        if Path::new(text).is_absolute() {
            let url = Self { scheme: FILE.to_owned(), rest: Zeroizing::new(percent_encode(text)) };
            return match url.expose().len() {
                got if got > MAX_BYTES => Err(ConfigError::TooLong { max: MAX_BYTES, got }),
                _fits => Ok(url),
            };
        }
        let (scheme, rest) = text.split_once("://").ok_or(ConfigError::NotAUrl)?;
        let spelled_well = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|c| c.is_ascii_alphanumeric() || b"+-.".contains(&c));
        if !spelled_well {
            return Err(ConfigError::NotAUrl);
        }
        let url = Self { scheme: scheme.to_ascii_lowercase(), rest: Zeroizing::new(rest.to_owned()) };
        if url.scheme == FILE {
            url.to_path()?;
        }
        Ok(url)
    }

    /// The scheme, in lower case, without `://`.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// The whole text with its secrets, to be stored or connected to; never to be shown.
    pub fn expose(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{}://{}", self.scheme, *self.rest))
    }

    /// The folder a `file://` URL names: no host but `localhost`, an absolute path, percent signs decoded.
    pub fn to_path(&self) -> Result<PathBuf, ConfigError> {
        let path = self.rest.strip_prefix("localhost").unwrap_or(&self.rest);
        let path = percent_decode(path).ok_or(ConfigError::NotALocalPath)?;
        // `file:///C:/kin` names a drive where drives exist.
        let path = match path.strip_prefix('/') {
            Some(drive) if cfg!(windows) => PathBuf::from(drive),
            Some(_) | None => PathBuf::from(path),
        };
        if self.scheme != FILE || !path.is_absolute() {
            return Err(ConfigError::NotALocalPath);
        }
        Ok(path)
    }
}

impl Ord for RelayUrl {
    fn cmp(&self, other: &Self) -> Ordering {
        (&self.scheme, self.rest.as_str()).cmp(&(&other.scheme, other.rest.as_str()))
    }
}

impl PartialOrd for RelayUrl {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for RelayUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme)?;
        if self.scheme == FILE {
            return f.write_str(&self.rest);
        }
        let (before_query, query) = match self.rest.split_once('?') {
            Some((before, query)) => (before, Some(query)),
            None => (self.rest.as_str(), None),
        };
        // A password may hold a slash that someone forgot to encode: the last @ ends the credentials.
        let place = match before_query.rsplit_once('@') {
            Some((credentials, place)) => {
                let user = credentials.split_once(':').map_or("", |(user, _)| user);
                write!(f, "{user}:***@")?;
                place
            }
            None => before_query,
        };
        f.write_str(place)?;
        for (index, pair) in query.into_iter().flat_map(|query| query.split('&')).enumerate() {
            let name = pair.split_once('=').map_or("", |(name, _)| name);
            write!(f, "{}{name}=***", if index == 0 { '?' } else { '&' })?;
        }
        Ok(())
    }
}

impl fmt::Debug for RelayUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RelayUrl({self})")
    }
}

/// Encodes what would change the meaning of a path inside a URL: `%`, `?`, `#` and blanks.
fn percent_encode(path: &str) -> String {
    let mut encoded = String::with_capacity(path.len());
    for c in path.chars() {
        match c {
            '%' => encoded.push_str("%25"),
            '?' => encoded.push_str("%3F"),
            '#' => encoded.push_str("%23"),
            ' ' => encoded.push_str("%20"),
            other => encoded.push(other),
        }
    }
    encoded
}

/// Undoes percent encoding; `None` for a broken escape, for bytes that are not UTF-8, and for NUL.
pub(super) fn percent_decode(text: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            decoded.push(*first);
            continue;
        }
        let [high, low, tail @ ..] = rest else {
            return None;
        };
        rest = tail;
        let high = char::from(*high).to_digit(16)?;
        let low = char::from(*low).to_digit(16)?;
        decoded.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(decoded).ok().filter(|path| !path.contains('\0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_never_shown() {
        for text in [
            "redis://kin:canary@relay.example:6379/0",
            "redis://:canary@relay.example",
            "redis://canary@relay.example",
            "redis://kin:can/canary@ry@relay.example",
            "s3://bucket/path?secret_access_key=canary&region=eu",
            "s3://bucket?canary",
            "s3://bucket?a=b=canary",
        ] {
            let url = RelayUrl::parse(text).unwrap();
            for shown in [format!("{url}"), format!("{url:?}")] {
                assert!(!shown.contains("canary"), "{text} shows as {shown}");
            }
            assert_eq!(*url.expose(), text);
        }
    }

    #[test]
    fn the_place_and_the_user_stay_readable() {
        let url = RelayUrl::parse("rediss://kin:pw@relay.example:6379/0?protocol=3").unwrap();
        assert_eq!(url.to_string(), "rediss://kin:***@relay.example:6379/0?protocol=***");
        assert_eq!(RelayUrl::parse("file:///srv/kin").unwrap().to_string(), "file:///srv/kin");
    }

    #[cfg(unix)]
    #[test]
    fn an_absolute_path_becomes_a_file_url_and_comes_back() {
        for path in ["/srv/kin", "/mnt/my disk/100%/a?b#c", "/srv/ü/kin"] {
            let url = RelayUrl::parse(path).unwrap();
            assert_eq!(url.scheme(), FILE);
            assert_eq!(url.to_path().unwrap(), Path::new(path));
            assert_eq!(RelayUrl::parse(&url.expose()).unwrap(), url);
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_file_url_takes_no_host_but_this_one() {
        let here = RelayUrl::parse("FILE://localhost/srv/kin").unwrap();
        assert_eq!(here.to_path().unwrap(), Path::new("/srv/kin"));
        for text in ["file://server/share", "file://kin", "file://", "file:///a%", "file:///a%zz", "file:///a%00"] {
            let refused = RelayUrl::parse(text);
            assert!(matches!(refused, Err(ConfigError::NotALocalPath)), "{text}: {refused:?}");
        }
    }

    #[test]
    fn what_is_neither_url_nor_absolute_path_is_refused() {
        for text in ["", "kin", "./kin", "://x", "1a://x", "a b://x", "redis:/x", "redis://a\nb"] {
            let refused = RelayUrl::parse(text);
            assert!(matches!(refused, Err(ConfigError::NotAUrl)), "{text}: {refused:?}");
        }
        let long = format!("redis://{}", "a".repeat(MAX_BYTES));
        assert!(matches!(RelayUrl::parse(&long), Err(ConfigError::TooLong { .. })));
    }

    #[cfg(unix)]
    #[test]
    fn every_accepted_url_fits_on_a_pairing_card() {
        assert_eq!(MAX_BYTES, crate::seal::pairing::MAX_RELAY_URL);
        // A blank takes three bytes in a URL.
        let path = |blanks: usize| format!("/{}", " ".repeat(blanks));
        let longest = (MAX_BYTES - "file:///".len()) / 3;
        assert!(RelayUrl::parse(&path(longest)).unwrap().expose().len() <= MAX_BYTES);
        assert!(matches!(RelayUrl::parse(&path(longest + 1)), Err(ConfigError::TooLong { .. })));
    }
}
