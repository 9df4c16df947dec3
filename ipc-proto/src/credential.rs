//! What a client shows the daemon with each call: the metadata `authorization: Bearer TOKEN`.
//!
//! The owner's programs show the token that the daemon keeps in its state directory. An app shows the one that it was given. Who shows
//! nothing may ask [who is there](crate::Client::get_info), nothing else.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use tonic::metadata::AsciiMetadataValue;
use tonic::service::Interceptor;
use tonic::{Request, Status};

use crate::error::Error;
use crate::paths::Paths;

/// Where a client has its token from.
#[derive(Clone, Debug, Default)]
pub enum Credential {
    /// The owner's, in the state directory of the [`Paths`]. Where it cannot be read, as in a sandbox, nothing is shown.
    #[default]
    Owner,
    /// An app's, in this file.
    File(PathBuf),
    /// An app's.
    Token(Token),
    /// Nothing is shown.
    Nothing,
}

/// A token that can be sent.
#[derive(Clone)]
pub struct Token(AsciiMetadataValue);

/// Shows a token, if there is one, with each call.
#[derive(Clone, Debug, Default)]
pub struct Showing(Option<Token>);

impl Credential {
    /// The file named by the environment variable [`TOKEN_FILE`], else the owner's.
    pub fn of_environment() -> Self {
        std::env::var_os(TOKEN_FILE).filter(|path| !path.is_empty()).map_or(Self::Owner, |path| Self::File(path.into()))
    }

    /// Reads what is to be shown.
    ///
    /// Errors: [`Error::Credential`] when a file was named and holds no token that can be read.
    pub(crate) fn read(&self, paths: &Paths) -> Result<Showing, Error> {
        Ok(Showing(match self {
            Self::Owner => Token::read(&paths.credential_file()).ok(),
            Self::File(path) => {
                Some(Token::read(path).map_err(|source| Error::Credential { path: path.clone(), source })?)
            }
            Self::Token(token) => Some(token.clone()),
            Self::Nothing => None,
        }))
    }
}

impl Token {
    /// A token as it was handed over; `None` for a text that cannot be sent as one. Whether it is known, the daemon says.
    pub fn new(text: &str) -> Option<Self> {
        let fits = (1..=MAX_CHARACTERS).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        let mut value = AsciiMetadataValue::try_from(format!("Bearer {text}")).ok().filter(|_| fits)?;
        value.set_sensitive(true);
        Some(Self(value))
    }

    fn read(path: &Path) -> io::Result<Self> {
        let mut text = String::new();
        File::open(path)?.take(MAX_BYTES).read_to_string(&mut text)?;
        Self::new(text.trim_end()).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it holds no token"))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

impl Interceptor for Showing {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(Token(value)) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

/// Names the file with an app's token, for programs that use [`Credential::of_environment`], `kin` among them.
pub const TOKEN_FILE: &str = "KINFOLK_TOKEN_FILE";
/// Most characters of a token; today's have 53.
const MAX_CHARACTERS: usize = 256;
/// A token and a line end.
const MAX_BYTES: u64 = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_shown_with_each_call_and_not_by_debug() {
        let token = Token::new("kin_app_secret").unwrap();
        let mut showing = Credential::Token(token).read(&paths(Path::new("/nowhere"))).unwrap();
        let request = showing.call(Request::new(())).unwrap();
        assert_eq!(request.metadata().get("authorization").unwrap(), "Bearer kin_app_secret");
        let shown = format!("{showing:?} {request:?}");
        assert!(!shown.contains("secret"), "{shown}");
    }

    #[test]
    fn who_cannot_read_the_owners_file_shows_nothing() {
        let home = tempfile::tempdir().unwrap();
        let paths = paths(home.path());
        let mut showing = Credential::Owner.read(&paths).unwrap();
        assert!(showing.call(Request::new(())).unwrap().metadata().get("authorization").is_none());
        std::fs::write(paths.credential_file(), "kin_admin_x\n").unwrap();
        let mut showing = Credential::Owner.read(&paths).unwrap();
        let request = showing.call(Request::new(())).unwrap();
        assert_eq!(request.metadata().get("authorization").unwrap(), "Bearer kin_admin_x");
    }

    #[test]
    fn a_named_file_that_holds_no_token_is_an_error_that_does_not_show_it() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("token");
        let read = || Credential::File(path.clone()).read(&paths(home.path())).map(drop);
        assert_eq!(read().unwrap_err().code(), "bad_credential");
        for text in ["", "two words", "a\nb", "ü", &"x".repeat(MAX_CHARACTERS + 1)] {
            std::fs::write(&path, text).unwrap();
            let error = read().unwrap_err();
            assert_eq!((error.code(), error.exit_code()), ("bad_credential", 5));
            assert!(text.is_empty() || !error.to_string().contains(text), "{error}");
        }
        std::fs::write(&path, "kin_app_x\n").unwrap();
        assert!(read().is_ok());
    }

    fn paths(state: &Path) -> Paths {
        Paths {
            config: state.into(),
            state: state.into(),
            log: state.into(),
            socket: state.join("k.sock"),
            socket_is_explicit: false,
        }
    }
}
