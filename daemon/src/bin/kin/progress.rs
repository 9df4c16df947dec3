//! Progress bars: on a terminal only, on stderr.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar over `total` bytes, or a counter when the total is not known. Draws nothing when nobody looks.
pub(crate) fn bytes(total: Option<u64>, json: bool) -> ProgressBar {
    let bar = match total {
        Some(total) => ProgressBar::new(total).with_style(style("{bar:30} {bytes}/{total_bytes}  {msg}  {eta} left")),
        None => ProgressBar::no_length().with_style(style("{spinner} {bytes}  {msg}")),
    };
    shown(bar, json)
}

/// A counter of things.
pub(crate) fn counter(json: bool) -> ProgressBar {
    shown(ProgressBar::no_length().with_style(style("{spinner} {human_pos} {msg}")), json)
}

/// A bar over steps of which not much is known at first. Draws nothing when nobody looks.
pub(crate) fn steps(json: bool) -> ProgressBar {
    shown(ProgressBar::no_length().with_style(style("{bar:30} {percent:>3} %  {msg}")), json)
}

/// Whether anybody looks.
pub(crate) fn is_shown(json: bool) -> bool {
    !json && std::io::stderr().is_terminal()
}

fn shown(bar: ProgressBar, json: bool) -> ProgressBar {
    if is_shown(json) {
        bar.enable_steady_tick(Duration::from_millis(100));
    } else {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    bar
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
