//! The name of a device that nobody named: that of its machine.

use kinfolk_core::roster::MAX_NAME;

/// The machine's name as a device name: without its domain, at most 64 bytes of printable text.
pub(super) fn device_name() -> String {
    fit(&of_machine())
}

#[cfg(unix)]
fn of_machine() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(windows)]
fn of_machine() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_default()
}

fn fit(host: &str) -> String {
    let label = host.split('.').next().unwrap_or_default();
    let mut printable: String = label.chars().filter(|c| !c.is_control()).collect();
    while printable.len() > MAX_NAME {
        printable.pop();
    }
    match printable.trim() {
        "" => NAMELESS.to_owned(),
        name => name.to_owned(),
    }
}

/// What a machine without a name is called.
const NAMELESS: &str = "device";

#[cfg(test)]
mod tests {
    use kinfolk_core::roster::name_fits;

    use super::*;

    #[test]
    fn any_host_name_becomes_a_device_name() {
        let long = "ü".repeat(60);
        let hosts = ["laptop", "laptop.example.org", "", ".", " \t", "a\nb\u{7f}", long.as_str()];
        assert!(hosts.iter().all(|host| name_fits(&fit(host))));
        assert_eq!([fit("laptop.example.org"), fit("."), fit("a\nb")], ["laptop", "device", "ab"]);
        assert!(name_fits(&device_name()));
    }
}
