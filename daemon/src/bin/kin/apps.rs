//! `kin apps`: which other programs may use the local API, and for what.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use ipc_proto::v1::{
    App, AuthorizeAppRequest, AuthorizeAppResponse, Grant, ListAppsRequest, Quota, RevokeAppRequest, Scope,
};
use serde_json::json;

use crate::context::Context;
use crate::failure::Failure;
use crate::instant;
use crate::output::{Style, table};
use crate::{size, view};

/// Let apps use your data, each within a namespace of its own
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Apps {
    /// Give an app a token that is good for some collections and conversations
    ///
    /// A prefix names a collection or conversation and what lies below it: notes is good for notes, notes/2026 and notes.archive, not for
    /// notes2. With * at its end it is good for whatever begins so; quote it. The token is shown once. An app sends it with each call, as
    /// the metadata "authorization: Bearer TOKEN".
    #[command(after_help = "Examples:
  kin apps authorize notes --collections notes --scope write --out ~/.config/notes/token
  kin apps authorize bridge --conversations 'chat-*' --scope write --quota 5G --max-items 10000000
  kin apps authorize report --collections notes todo --scope read --json | jq -r .token")]
    Authorize(Authorize),
    /// List the apps, what they may do, and when they last did something
    #[command(after_help = "Examples:\n  kin apps list\n  kin apps list --json | jq -r '.apps[].name'")]
    List {},
    /// Take an app's token back
    ///
    /// Its streams end at once and its next call is refused. What it wrote stays.
    #[command(after_help = "Example:\n  kin apps revoke notes")]
    Revoke {
        /// The app
        name: String,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Authorize {
    /// What you call it: a-z, 0-9, `.`, `-`, `_`
    name: String,
    /// Collections that it may use
    #[arg(long, value_name = "PREFIX", num_args = 1.., required_unless_present = "conversations")]
    collections: Vec<String>,
    /// Conversations that it may use
    #[arg(long, value_name = "PREFIX", num_args = 1..)]
    conversations: Vec<String>,
    /// What it may do there
    #[arg(long, value_enum, default_value_t = ScopeChoice::Read)]
    scope: ScopeChoice,
    /// What it may do in conversations, where that is not the same
    #[arg(long, value_enum, requires = "conversations")]
    conversation_scope: Option<ScopeChoice>,
    /// How much it may store, in bytes, or with K, M, G, T; what lies under the prefixes that it may write counts [default: 1G]
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    quota: Option<u64>,
    /// How many records and messages it may store [default: 1000000]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    max_items: Option<u64>,
    /// Write the token to a new file that only you can read, instead of showing it
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// What an app may do.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum ScopeChoice {
    /// Look
    Read,
    /// Look and change
    Write,
}

impl From<ScopeChoice> for Scope {
    fn from(choice: ScopeChoice) -> Self {
        match choice {
            ScopeChoice::Read => Self::Read,
            ScopeChoice::Write => Self::Write,
        }
    }
}

impl Apps {
    pub(crate) async fn execute(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Authorize(authorize) => authorize.execute(context).await,
            Self::List {} => {
                let listed = context.client().await?.admin().list_apps(ListAppsRequest {}).await?.into_inner().apps;
                let object = json!({ "apps": listed.iter().map(view::app).collect::<Vec<_>>() });
                context.output.show("apps.list", object, |style| words(&listed, instant::now_millis(), style))
            }
            Self::Revoke { name } => {
                let mut admin = context.client().await?.admin();
                let revoked = admin.revoke_app(RevokeAppRequest { name }).await?.into_inner().app.unwrap_or_default();
                context.output.show("apps.revoke", json!({ "app": view::app(&revoked) }), |style| {
                    format!(
                        "the token of {} is good for nothing any more; what it wrote stays",
                        style.strong(&revoked.name)
                    )
                })
            }
        }
    }
}

impl Authorize {
    async fn execute(self, context: &Context) -> Result<(), Failure> {
        let mut admin = context.client().await?.admin();
        // Made first: a token that cannot be written anywhere would be lost.
        let mut file = self.out.as_deref().map(TokenFile::create).transpose()?;
        let conversation_scope = self.conversation_scope.unwrap_or(self.scope);
        let request = AuthorizeAppRequest {
            name: self.name,
            collections: Some(Grant { prefixes: self.collections, scope: Scope::from(self.scope).into() }),
            conversations: Some(Grant { prefixes: self.conversations, scope: Scope::from(conversation_scope).into() }),
            quota: Some(Quota { bytes: self.quota.unwrap_or_default(), items: self.max_items.unwrap_or_default() }),
        };
        let AuthorizeAppResponse { app, token } = admin.authorize_app(request).await?.into_inner();
        let app = app.unwrap_or_default();
        if let Some(file) = &mut file {
            file.fill(&token)?;
        }
        let mut object = json!({ "app": view::app(&app) });
        match &self.out {
            Some(path) => object["token_file"] = json!(path),
            None => object["token"] = token.as_str().into(),
        }
        context.output.show("apps.authorize", object, |style| {
            let may = format!("{} may {}", style.strong(&app.name), purview(&app));
            match &self.out {
                Some(path) => format!("{may}\nits token is in {}", path.display()),
                None => format!("{may}\n{token}\n{}", style.dim("this token is not shown again")),
            }
        })
    }
}

/// A new file for a token; removed again unless it is filled.
struct TokenFile<'p> {
    path: &'p Path,
    file: File,
    filled: bool,
}

impl<'p> TokenFile<'p> {
    fn create(path: &'p Path) -> Result<Self, Failure> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path).map_err(Failure::io(format!("make the file {}", path.display())))?;
        Ok(Self { path, file, filled: false })
    }

    fn fill(&mut self, token: &str) -> Result<(), Failure> {
        let written = writeln!(self.file, "{token}").and_then(|()| self.file.sync_all());
        written.map_err(Failure::io(format!("write the token to {}", self.path.display())))?;
        self.filled = true;
        Ok(())
    }
}

impl Drop for TokenFile<'_> {
    fn drop(&mut self) {
        if !self.filled {
            // An empty file is in the way of the next attempt, and nothing worse.
            let _removed = std::fs::remove_file(self.path);
        }
    }
}

fn words(apps: &[App], now: u64, style: Style) -> String {
    if apps.is_empty() {
        return style.dim("no app has a token");
    }
    let row = |app: &App| {
        let used = match app.last_used_ms {
            Some(_) => format!("used {}", instant::ago(app.last_used_ms, now)),
            None => "never used".into(),
        };
        vec![style.strong(&app.name), purview(app), quota(app), used]
    };
    table(&apps.iter().map(row).collect::<Vec<_>>())
}

/// How much an app that writes may store.
fn quota(app: &App) -> String {
    let writes = |grant: &Option<Grant>| grant.as_ref().is_some_and(|grant| grant.scope() == Scope::Write);
    if !writes(&app.collections) && !writes(&app.conversations) {
        return String::new();
    }
    let Quota { bytes, items } = app.quota.unwrap_or_default();
    format!("up to {}, {items} items", size::show(bytes))
}

/// What an app may do, after "may".
fn purview(app: &App) -> String {
    let part = |grant: &Option<Grant>, what: &str| {
        let grant = grant.as_ref().filter(|grant| !grant.prefixes.is_empty())?;
        let verb = if grant.scope() == Scope::Write { "write" } else { "read" };
        Some(format!("{verb} {what} {}", grant.prefixes.join(", ")))
    };
    let parts = [part(&app.collections, "collections"), part(&app.conversations, "conversations")];
    parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_says_what_each_app_may_do_and_when_it_last_did() {
        let grant = |prefixes: &[&str], scope: Scope| {
            Some(Grant { prefixes: prefixes.iter().map(|prefix| (*prefix).to_owned()).collect(), scope: scope.into() })
        };
        let apps = [
            App {
                name: "bridge".into(),
                conversations: grant(&["chat-*"], Scope::Write),
                collections: grant(&[], Scope::Read),
                last_used_ms: Some(1_000),
                created_at_ms: 5,
                quota: Some(Quota { bytes: 5 << 30, items: 7 }),
            },
            App {
                name: "notes".into(),
                collections: grant(&["notes", "todo"], Scope::Write),
                conversations: grant(&["*"], Scope::Read),
                quota: Some(Quota { bytes: 1 << 30, items: 1_000_000 }),
                ..App::default()
            },
        ];
        insta::assert_snapshot!(words(&apps, 61_000, Style::PLAIN), @r"
        bridge  write conversations chat-*                           up to 5 GiB, 7 items        used 60 s ago
        notes   write collections notes, todo; read conversations *  up to 1 GiB, 1000000 items  never used
        ");
        insta::assert_snapshot!(view::app(&apps[0]), @r#"{"name":"bridge","collections":{"prefixes":[],"scope":"read"},"conversations":{"prefixes":["chat-*"],"scope":"write"},"created_at":"1970-01-01T00:00:00.005Z","last_used":"1970-01-01T00:00:01Z","quota":{"bytes":5368709120,"items":7}}"#);
    }

    #[test]
    fn a_file_that_no_token_was_written_to_does_not_stay() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        drop(TokenFile::create(&path).unwrap());
        assert!(!path.exists());
        let mut file = TokenFile::create(&path).unwrap();
        file.fill("kin_app_x").unwrap();
        drop(file);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "kin_app_x\n");
        assert!(TokenFile::create(&path).is_err(), "what is there is not overwritten");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "kin_app_x\n");
    }
}
