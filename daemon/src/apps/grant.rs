//! Grants: the names under which an app may read or write.
//!
//! A namespace is a set of beginnings, and a beginning ends where a name does: `notes` covers `notes`, `notes/2026` and `notes.archive`, not
//! `notes-of-others`. With a `*` at its end it covers whatever begins so, and `*` alone everything. Names that begin with `@` are the
//! daemon's own and never covered.

/// What may be done.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Scope {
    /// Look.
    Read,
    /// Look and change.
    Write,
}

/// Where an app may go among collections, or among conversations, and what it may do there. The default covers nothing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Grant {
    /// At most [`MAX_PREFIXES`].
    pub prefixes: Vec<String>,
    /// What it may do under all of them.
    pub scope: Scope,
}

/// What is wrong with a grant.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub enum GrantError {
    /// There are limits.
    #[error("an app has at most {MAX_PREFIXES} prefixes of each kind, this one would have {0}")]
    TooMany(usize),
    /// The prefix could cover nothing, or more than it seems to.
    #[error(
        "the prefix `{}` is none: it has 1 to {MAX_PREFIX} bytes, no control characters, no @ at its beginning, and a * at its end only",
        .0.escape_debug()
    )]
    Prefix(String),
}

impl Default for Grant {
    fn default() -> Self {
        Self { prefixes: Vec::new(), scope: Scope::Read }
    }
}

impl Grant {
    /// Whether it allows `scope` for that name.
    pub fn allows(&self, name: &str, scope: Scope) -> bool {
        self.scope >= scope && self.covers(name)
    }

    /// Whether it allows `scope` for any name at all.
    pub fn offers(&self, scope: Scope) -> bool {
        self.scope >= scope && !self.prefixes.is_empty()
    }

    /// Whether the name lies under one of its prefixes.
    pub fn covers(&self, name: &str) -> bool {
        !name.starts_with(OWN) && self.prefixes.iter().any(|prefix| under(prefix, name))
    }

    /// Whether it can be kept.
    ///
    /// # Errors
    /// [`GrantError`].
    pub fn check(&self) -> Result<(), GrantError> {
        if self.prefixes.len() > MAX_PREFIXES {
            return Err(GrantError::TooMany(self.prefixes.len()));
        }
        let bad = |prefix: &&String| {
            let fits = (1..=MAX_PREFIX).contains(&prefix.len()) && !prefix.starts_with(OWN);
            let stem = prefix.strip_suffix(ANY).unwrap_or(prefix);
            !fits || stem.contains(ANY) || prefix.chars().any(char::is_control)
        };
        self.prefixes.iter().find(bad).map_or(Ok(()), |bad| Err(GrantError::Prefix(bad.clone())))
    }
}

fn under(prefix: &str, name: &str) -> bool {
    match prefix.strip_suffix(ANY) {
        Some(beginning) => name.starts_with(beginning),
        None => name.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with(LEVELS)),
    }
}

/// Most prefixes of a grant.
pub const MAX_PREFIXES: usize = 32;
/// Longest prefix, in bytes: the longest name of a conversation.
const MAX_PREFIX: usize = 256;
/// How the names of the daemon's own collections begin.
const OWN: char = '@';
/// At the end of a prefix: whatever follows.
const ANY: char = '*';
/// What parts the levels of a name.
const LEVELS: [char; 2] = ['/', '.'];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_covers_its_name_and_what_lies_below_and_not_its_neighbours() {
        let grant = grant(&["notes", "com.example.todo", "chat-*"]);
        for inside in
            ["notes", "notes/2026", "notes.archive", "com.example.todo", "com.example.todo.done", "chat-1", "chat-"]
        {
            assert!(grant.covers(inside), "{inside}");
        }
        for outside in
            ["", "note", "notes2", "notes-of-others", "Notes", "com.example", "com.example.todos", "chat", "xnotes"]
        {
            assert!(!grant.covers(outside), "{outside}");
        }
    }

    #[test]
    fn a_star_covers_everything_but_what_is_the_daemons_own() {
        assert!(grant(&["*"]).covers("anything at all"));
        for own in ["@message", "@", "@notes"] {
            assert!(!grant(&["*", "@*", "@message"]).covers(own), "{own}");
        }
    }

    #[test]
    fn no_prefix_covers_nothing() {
        let none = Grant { prefixes: Vec::new(), scope: Scope::Write };
        assert!(!none.covers("notes") && !none.covers("") && !none.offers(Scope::Read));
    }

    #[test]
    fn who_may_write_may_read_and_not_the_other_way_round() {
        let mut grant = grant(&["notes"]);
        assert!(
            grant.allows("notes", Scope::Read) && grant.allows("notes", Scope::Write) && grant.offers(Scope::Write)
        );
        grant.scope = Scope::Read;
        assert!(grant.allows("notes", Scope::Read) && !grant.allows("notes", Scope::Write));
        assert!(grant.offers(Scope::Read) && !grant.offers(Scope::Write));
    }

    #[test]
    fn prefixes_that_mislead_are_refused() {
        let long = "x".repeat(MAX_PREFIX + 1);
        for bad in ["", "@message", "a*b", "**", "a\nb", long.as_str()] {
            assert_eq!(grant(&[bad]).check(), Err(GrantError::Prefix(bad.into())));
        }
        for good in ["*", "notes", "notes/*", "com.example.notes", "ä", &long[1..]] {
            assert_eq!(grant(&[good]).check(), Ok(()), "{good}");
        }
        let many = Grant { prefixes: vec!["a".into(); MAX_PREFIXES + 1], scope: Scope::Read };
        assert_eq!(many.check(), Err(GrantError::TooMany(MAX_PREFIXES + 1)));
    }

    fn grant(prefixes: &[&str]) -> Grant {
        Grant { prefixes: prefixes.iter().map(|prefix| (*prefix).to_owned()).collect(), scope: Scope::Write }
    }
}
