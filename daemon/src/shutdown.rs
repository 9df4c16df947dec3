//! Ending in order: a signal or a call begins it, everything that serves sees it; a second signal ends the process at once.

use std::io;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tokio::sync::watch;
use tracing::info;

/// Says whether the end has begun. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Shutdown {
    begun: watch::Sender<bool>,
}

impl Shutdown {
    /// Begins on SIGINT or SIGTERM; the second one exits hard.
    ///
    /// # Errors
    /// When the handlers cannot be installed.
    pub fn listen() -> io::Result<Self> {
        let shutdown = Self::never();
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        let on_signal = shutdown.clone();
        std::thread::Builder::new().name("signals".into()).spawn(move || {
            // Signals alone count: one that comes while a call ends the daemon leaves it its time.
            let mut signalled = false;
            for signal in signals.forever() {
                if std::mem::replace(&mut signalled, true) {
                    leave(HARD_EXIT);
                }
                info!(signal, "stopping; a second signal ends it at once");
                on_signal.begin();
            }
        })?;
        Ok(shutdown)
    }

    /// One that only a call begins.
    pub fn never() -> Self {
        Self { begun: watch::channel(false).0 }
    }

    /// Begins the end.
    pub fn begin(&self) {
        self.begun.send_replace(true);
    }

    /// Waits until the end begins.
    pub async fn begun(&self) {
        // The sender lives as long as `self`.
        self.begun.subscribe().wait_for(|begun| *begun).await.ok();
    }
}

/// Ends the process at once, without the exit handlers of C libraries: OpenSSL's would take its tables away under threads that still use
/// them.
pub fn leave(code: i32) -> ! {
    signal_hook::low_level::exit(code)
}

/// The exit code of a process that was interrupted.
const HARD_EXIT: i32 = 130;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn everyone_sees_the_end() {
        let shutdown = Shutdown::never();
        let other = shutdown.clone();
        shutdown.begin();
        other.begun().await;
    }
}
