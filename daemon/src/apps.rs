//! Apps: programs that use the local API with a token of their own, each within a namespace.
//!
//! The owner authorizes an app by name: the names of collections and conversations it may see, and whether it may change them. It gets
//! a token, which is shown once; the store keeps its hash. Memory is a cache of the store: an app is known here after the store has
//! it, and forgotten here after the store has forgotten it.
//!
//! Programs of one user can read each other's files, so a token is no wall between them. It keeps programs from what they have no
//! business with, by mistake or on purpose, and it is what limits a program in a sandbox, which has the user and the socket but not the files.
//!
//! **Last use** is noted in memory at each call and written down at most once in [`NOTED`] for each app: `kin apps list` may lag that much
//! behind after a crash.

mod grant;
mod quota;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use kinfolk_core::ids::Millis;
use tokio::sync::{Mutex, watch};

use crate::driver::{DriverError, Handle};
use crate::seal::{Bearer, BearerHash, Role};
use crate::store::{SavedApp, Store, StoreError};

pub use self::grant::{Grant, GrantError, MAX_PREFIXES, Scope};
pub(crate) use self::quota::{Beyond, Meter, UnderWay};
pub use self::quota::{Quota, Usage};

/// Most apps on one device.
pub const MAX_APPS: usize = 64;
/// Longest name of an app, in bytes.
pub const MAX_NAME: usize = 64;
/// How far the last use that is written down may lag behind: one minute.
pub const NOTED: Millis = Millis(60_000);

/// An app that was authorized.
#[derive(Debug)]
pub struct App {
    /// What the owner calls it: lower-case letters, digits, `.`, `-` and `_`.
    pub name: String,
    /// Where it may go among collections.
    pub collections: Grant,
    /// Where it may go among conversations.
    pub conversations: Grant,
    /// When it was authorized, by the wall clock.
    pub created: Millis,
    /// How much it may store.
    pub quota: Quota,
    /// How much it has stored, as far as is known.
    pub(crate) meter: Meter,
    token: BearerHash,
    /// When it last made a call; 0 when it never did.
    used: AtomicU64,
    /// The use that is written down.
    noted: AtomicU64,
    revoked: watch::Sender<bool>,
}

/// Why an app was not authorized or revoked.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// Names are typed and become part of other names.
    #[error(
        "an app's name has 1 to {MAX_NAME} of the characters a-z, 0-9, `.`, `-` and `_`, and begins with a letter or digit"
    )]
    Name,
    /// The grant makes no sense.
    #[error(transparent)]
    Grant(#[from] GrantError),
    /// It could do nothing.
    #[error("an app needs a prefix of collections or of conversations")]
    NoPrefix,
    /// It is there.
    #[error("an app called `{0}` is authorized already")]
    Known(String),
    /// It is not there.
    #[error("no app called `{}` is authorized", .0.escape_debug())]
    NotFound(String),
    /// There are limits.
    #[error("there are {MAX_APPS} apps already")]
    TooMany,
    /// The store could not keep it.
    #[error(transparent)]
    Driver(#[from] DriverError),
}

/// All apps of a device.
#[derive(Debug)]
pub struct Apps {
    known: RwLock<BTreeMap<String, Arc<App>>>,
    /// Held while one is made or taken back.
    changing: Mutex<()>,
}

impl Apps {
    /// Those that the store has.
    pub(crate) fn load(store: &Store) -> Result<Self, StoreError> {
        let known = store.apps()?.into_iter().map(|saved| (saved.name.clone(), Arc::new(App::from(saved))));
        Ok(Self { known: RwLock::new(known.collect()), changing: Mutex::new(()) })
    }

    /// Whose token this is. Every app is compared, however soon one matches.
    pub fn find(&self, token: &Bearer) -> Option<Arc<App>> {
        let hash = token.hash();
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.values().filter(|app| app.token.is(&hash)).fold(None, |_, app| Some(Arc::clone(app)))
    }

    /// All of them, by name.
    pub fn list(&self) -> Vec<Arc<App>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Authorizes an app. Its token cannot be had a second time.
    ///
    /// # Errors
    /// [`AppError`]; nothing is changed then.
    pub(crate) async fn authorize(
        &self,
        driver: &Handle,
        name: String,
        mut collections: Grant,
        mut conversations: Grant,
        quota: Quota,
        now: Millis,
    ) -> Result<(Arc<App>, Bearer), AppError> {
        for grant in [&mut collections, &mut conversations] {
            grant.prefixes.sort();
            grant.prefixes.dedup();
        }
        if !name_fits(&name) {
            return Err(AppError::Name);
        }
        collections.check()?;
        conversations.check()?;
        if collections.prefixes.is_empty() && conversations.prefixes.is_empty() {
            return Err(AppError::NoPrefix);
        }
        let _changing = self.changing.lock().await;
        {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            if known.contains_key(&name) {
                return Err(AppError::Known(name));
            }
            if known.len() >= MAX_APPS {
                return Err(AppError::TooMany);
            }
        }
        let token = Bearer::generate(Role::App, &mut rand::rng());
        let saved = SavedApp { name, token: token.hash(), collections, conversations, quota, created: now, used: None };
        let app = Arc::new(App::from(saved.clone()));
        driver.keep(move |store| store.add_app(&saved)).await?;
        self.known.write().unwrap_or_else(PoisonError::into_inner).insert(app.name.clone(), Arc::clone(&app));
        Ok((app, token))
    }

    /// Takes an app's token back, and ends its streams. What it wrote stays.
    ///
    /// # Errors
    /// [`AppError::NotFound`] and [`AppError::Driver`]; nothing is changed then.
    pub(crate) async fn revoke(&self, driver: &Handle, name: &str) -> Result<Arc<App>, AppError> {
        let _changing = self.changing.lock().await;
        let found = self.known.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        let app = found.ok_or_else(|| AppError::NotFound(name.to_owned()))?;
        let gone = app.name.clone();
        driver.keep(move |store| store.remove_app(&gone)).await?;
        self.known.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        app.revoked.send_replace(true);
        Ok(app)
    }

    /// Writes down when apps were last used, where that was not done yet.
    pub(crate) async fn note_uses(&self, driver: &Handle) -> Result<(), DriverError> {
        for app in self.list() {
            app.note_use(driver).await?;
        }
        Ok(())
    }
}

impl App {
    /// Notes that it makes a call. Says whether that should be written down by now.
    pub(crate) fn uses(&self, now: Millis) -> bool {
        self.used.store(now.0, Ordering::Relaxed);
        let noted = self.noted.load(Ordering::Relaxed);
        // Only the first of many calls writes it down. A clock that was put back writes it down, too.
        now.0.abs_diff(noted) > NOTED.0
            && self.noted.compare_exchange(noted, now.0, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// When it last made a call, by the wall clock; `None` when it never did.
    pub fn last_used(&self) -> Option<Millis> {
        Some(self.used.load(Ordering::Relaxed)).filter(|used| *used > 0).map(Millis)
    }

    /// Becomes true when the token is taken back.
    pub(crate) fn revocation(&self) -> watch::Receiver<bool> {
        self.revoked.subscribe()
    }

    /// Writes down when it was last used.
    pub(crate) async fn note_use(&self, driver: &Handle) -> Result<(), DriverError> {
        let Some(used) = self.last_used() else { return Ok(()) };
        let name = self.name.clone();
        driver.keep(move |store| store.note_app(&name, used)).await
    }
}

impl From<SavedApp> for App {
    fn from(saved: SavedApp) -> Self {
        let SavedApp { name, token, collections, conversations, quota, created, used } = saved;
        let used = used.map_or(0, |used| used.0);
        let (used, noted) = (AtomicU64::new(used), AtomicU64::new(used));
        let (meter, revoked) = (Meter::default(), watch::Sender::new(false));
        Self { name, collections, conversations, created, quota, meter, token, used, noted, revoked }
    }
}

fn name_fits(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (1..=MAX_NAME).contains(&name.len())
        && name.bytes().all(|byte| plain(byte) || b"._-".contains(&byte))
        && name.bytes().next().is_some_and(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_apps_can_be_typed_and_hold_no_mark_of_other_names() {
        for good in ["notes", "com.example.notes", "a", "7up", "a_b-c"] {
            assert!(name_fits(good), "{good}");
        }
        let long = "a".repeat(MAX_NAME + 1);
        for bad in ["", "Notes", "a b", "a/b", "@a", ".a", "-a", "é", "a\n", long.as_str()] {
            assert!(!name_fits(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_use_is_written_down_once_in_a_while_and_shown_at_once() {
        let app = App::from(SavedApp {
            name: "notes".into(),
            token: Bearer::generate(Role::App, &mut rand::rng()).hash(),
            collections: Grant::default(),
            conversations: Grant::default(),
            quota: Quota::default(),
            created: Millis(1),
            used: None,
        });
        assert_eq!(app.last_used(), None);
        let begin = 1_000_000;
        assert!(app.uses(Millis(begin)));
        assert!(!app.uses(Millis(begin + 1)) && !app.uses(Millis(begin + NOTED.0)));
        assert_eq!(app.last_used(), Some(Millis(begin + NOTED.0)));
        assert!(app.uses(Millis(begin + NOTED.0 + 1)));
        assert!(app.uses(Millis(5)), "a clock that was put back by more than that");
    }
}
