//! Whether this machine runs on its battery: as Linux says under `/sys/class/power_supply`. Elsewhere it counts as plugged in.

#[cfg(any(target_os = "linux", test))]
use std::path::Path;

/// Whether the machine runs on its battery now. Reads small files of the kernel; some drivers take milliseconds for that, so not to be
/// called on the event loop.
#[cfg(target_os = "linux")]
pub fn on_battery() -> bool {
    drains(Path::new("/sys/class/power_supply"))
}

/// Whether the machine runs on its battery now: not known here.
#[cfg(not(target_os = "linux"))]
pub fn on_battery() -> bool {
    false
}

/// Whether a battery of the machine itself is being emptied and nothing feeds it. Mice and headsets have batteries too, of the scope
/// `Device`.
#[cfg(any(target_os = "linux", test))]
fn drains(supplies: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(supplies) else { return false };
    let mut drained = false;
    for entry in entries.take(MAX_SUPPLIES).flatten() {
        let says = |file: &str| std::fs::read_to_string(entry.path().join(file)).unwrap_or_default().trim().to_owned();
        if says("scope") == "Device" {
            continue;
        }
        match says("type").as_str() {
            "Battery" => drained |= says("status") == "Discharging",
            _feeds => {
                if says("online") == "1" {
                    return false;
                }
            }
        }
    }
    drained
}

/// More supplies than any machine has.
#[cfg(any(target_os = "linux", test))]
const MAX_SUPPLIES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(supplies: &[(&str, &[(&str, &str)])]) -> tempfile::TempDir {
        let home = tempfile::tempdir().unwrap();
        for (name, files) in supplies {
            std::fs::create_dir(home.path().join(name)).unwrap();
            for (file, text) in *files {
                std::fs::write(home.path().join(name).join(file), format!("{text}\n")).unwrap();
            }
        }
        home
    }

    #[test]
    fn a_laptop_runs_on_battery_only_when_nothing_feeds_it() {
        let empties: &[_] = &[("type", "Battery"), ("status", "Discharging")];
        let plugged: &[_] = &[("type", "Mains"), ("online", "1")];
        let unplugged: &[_] = &[("type", "Mains"), ("online", "0")];
        let full: &[_] = &[("type", "Battery"), ("status", "Full")];
        let drains = |supplies: &[(&str, &[(&str, &str)])]| drains(machine(supplies).path());
        assert!(drains(&[("BAT0", empties), ("AC", unplugged)]));
        assert!(drains(&[("BAT0", full), ("BAT1", empties)]));
        assert!(!drains(&[("BAT0", empties), ("AC", plugged)]));
        assert!(!drains(&[("BAT0", full), ("AC", plugged)]));
    }

    #[test]
    fn a_machine_without_a_battery_is_plugged_in() {
        assert!(!drains(machine(&[]).path()));
        assert!(!drains(Path::new("/no/such/place")));
        let mouse: &[_] = &[("type", "Battery"), ("scope", "Device"), ("status", "Discharging")];
        assert!(!drains(machine(&[("hid-mouse", mouse)]).path()));
    }
}
