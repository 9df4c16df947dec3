//! Bundles that apps number themselves.

use kinfolk_core::step::{AppBundle, AppFact, Committed};

use super::{Model, State};
use crate::sim::broken::{Broken, Held};

impl Model {
    /// What is held about an app's pushes.
    pub fn app_fact(&self, app: &AppBundle) -> Option<AppFact> {
        let last = Some(self.last_of(&app.source)).filter(|last| *last > 0)?;
        let committed = self.state.apps.get(&(app.source.clone(), app.id)).cloned();
        // No app here has a clock.
        Some(AppFact { last, committed, stamp: None })
    }

    /// The last number of an app; 0 before its first.
    pub fn last_of(&self, app: &str) -> u64 {
        let of_app = (app.to_owned(), 0)..=(app.to_owned(), u64::MAX);
        self.state.apps.range(of_app).next_back().map_or(0, |((_, last), _)| *last)
    }
}

impl State {
    pub(super) fn number(&mut self, app: &AppBundle, committed: Committed) -> Held {
        match self.apps.insert((app.source.clone(), app.id), committed) {
            Some(_) => Broken::rule("an app's number is used once", format!("{app:?}")),
            None => Ok(()),
        }
    }
}
