//! What a relay in memory does wrong, and how often it did.

use rand::RngExt;
use rand::rngs::StdRng;

/// A chance in thousandths: 0 never, 1000 always.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct PerMille(pub u16);

impl PerMille {
    pub(super) fn strikes(self, dice: &mut StdRng) -> bool {
        // No chance throws no die, so that one fault's runs do not depend on the others.
        self.0 > 0 && dice.random_range(0..1000) < self.0
    }
}

/// What goes wrong. The default is a relay that works.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Faults {
    /// A put says *stored* and stores nothing.
    pub lose: PerMille,
    /// A put stores two copies.
    pub repeat: PerMille,
    /// A put says *stored* and stores a torn copy.
    pub tear: PerMille,
    /// A put becomes visible [`Faults::late_by`] fetches later.
    pub late: PerMille,
    /// How late, in fetches.
    pub late_by: u64,
    /// A call fails before it does anything.
    pub transient: PerMille,
    /// A put or an acknowledgement does its work and fails.
    pub ambiguous: PerMille,
    /// A put rings no bell.
    pub quiet: PerMille,
    /// Answers come in random order.
    pub reorder: bool,
    /// Every call is denied.
    pub refuse: bool,
}

/// How often each fault has struck. A test that wants a fault asserts that it met it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Tally {
    /// Puts lost.
    pub lost: u64,
    /// Puts stored twice.
    pub repeated: u64,
    /// Puts torn.
    pub torn: u64,
    /// Puts shown late.
    pub late: u64,
    /// Calls that failed before they did anything.
    pub transient: u64,
    /// Calls that failed after they had done their work.
    pub ambiguous: u64,
    /// Puts that rang no bell.
    pub quiet: u64,
    /// Answers of more than one envelope that were shuffled.
    pub reordered: u64,
    /// Calls denied.
    pub refused: u64,
}
