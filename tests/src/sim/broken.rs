//! A rule that did not hold.

use std::fmt;

/// Which rule, and what was found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Broken {
    /// The rule as a sentence.
    pub rule: &'static str,
    /// What was found instead.
    pub found: String,
}

/// Whether all rules hold.
pub type Held = Result<(), Broken>;

impl Broken {
    /// Says that `rule` is broken.
    ///
    /// # Errors
    /// Always: it is one.
    pub fn rule(rule: &'static str, found: impl Into<String>) -> Held {
        Err(Self { rule, found: found.into() })
    }

    /// Says that `rule` is broken unless `holds`.
    ///
    /// # Errors
    /// When it is.
    pub fn unless(holds: bool, rule: &'static str, found: impl FnOnce() -> String) -> Held {
        if holds { Ok(()) } else { Self::rule(rule, found()) }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.found)
    }
}
