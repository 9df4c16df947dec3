//! Floors: what the disk, the database, the relay's server and the cipher ask at least, measured in the same round.

mod seal;
mod sqlite;

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

pub use self::seal::{Sealing, sealing};
pub use self::sqlite::{Rows, rows};
use super::BudgetError;

/// How many appends are measured.
const APPENDS: usize = 300;

/// Times `fdatasync` after appending 4 KiB, sorted.
///
/// # Errors
/// When the disk refuses.
pub fn fdatasync(directory: &Path) -> Result<Vec<Duration>, BudgetError> {
    let path = directory.join("floor");
    let measured = (|| {
        let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
        let mut times = Vec::with_capacity(APPENDS);
        for _ in 0..APPENDS {
            file.write_all(&[0xA5; 4096])?;
            let begin = Instant::now();
            file.sync_data()?;
            times.push(begin.elapsed());
        }
        std::fs::remove_file(&path)?;
        times.sort();
        Ok(times)
    })();
    measured.map_err(BudgetError::io(format!("cannot sync {}", path.display())))
}

/// The value below which `share` of the sorted times lie.
pub fn percentile(sorted: &[Duration], share: f64) -> Duration {
    let last = sorted.len().saturating_sub(1);
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index into a few hundred samples"
    )]
    let at = (last as f64 * share).round() as usize;
    sorted.get(at.min(last)).copied().unwrap_or_default()
}
