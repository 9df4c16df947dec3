//! Where a relay is, as a person names it: a URL, a path, or `-` for a URL that is a secret.
//!
//! A URL may hold a password. On the command line other programs of this machine can see it, and shells remember it; from stdin it is seen by
//! nobody.

use std::io::BufRead;

use crate::failure::Failure;
use crate::terminal;

/// Most bytes read from stdin for a URL. A URL has at most 512.
const MAX_LINE: u64 = 4096;

/// The URL of a relay that is to be used: as it is, the absolute one of a path, or for `-` the first line of stdin.
pub(crate) fn named(place: &str) -> Result<String, Failure> {
    if place != "-" {
        return absolute(place);
    }
    if terminal::is_interactive() {
        terminal::say("type or paste the relay's URL, then press Enter:");
    }
    first_line(std::io::stdin().lock())
}

fn first_line(input: impl BufRead) -> Result<String, Failure> {
    let mut line = String::new();
    input.take(MAX_LINE).read_line(&mut line).map_err(Failure::io("read the relay's URL"))?;
    match line.trim() {
        "" | "-" => Err(Failure::usage("there is no URL on stdin", "pipe it: `kin relay add - < FILE`")),
        url => absolute(url),
    }
}

/// A URL as it is; a path of a folder as an absolute one, since the daemon works in another directory.
pub(crate) fn absolute(url: &str) -> Result<String, Failure> {
    if url.contains("://") {
        return Ok(url.to_owned());
    }
    if looks_mistyped(url) {
        return Err(Failure::usage(
            format!("`{url}` is neither a URL nor a path"),
            "a URL has `://` after its kind, as in file:///media/nas/kin",
        ));
    }
    let path = std::path::absolute(url).map_err(Failure::io(format!("make an absolute path of `{url}`")))?;
    path.into_os_string()
        .into_string()
        .map_err(|path| Failure::usage(format!("{} is not UTF-8", path.display()), "use a path that is"))
}

/// Whether the text begins as a URL does and then lacks the slashes: `file:/x`. A drive of Windows has one letter.
fn looks_mistyped(text: &str) -> bool {
    text.split_once(":/")
        .is_some_and(|(kind, _)| kind.len() > 1 && kind.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'+'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_becomes_absolute_and_a_url_stays() {
        assert_eq!(absolute("redis://h:1/0").unwrap(), "redis://h:1/0");
        assert_eq!(absolute("/a/b").unwrap(), "/a/b");
        let here = std::env::current_dir().unwrap();
        assert_eq!(absolute("folder").unwrap(), here.join("folder").to_str().unwrap());
    }

    #[test]
    fn a_url_with_a_slash_too_few_is_not_taken_for_a_path() {
        for mistyped in ["file:/a/b", "redis:/host", "redis+cluster:/h"] {
            assert_eq!(absolute(mistyped).unwrap_err().exit_code(), 2, "{mistyped}");
        }
        assert!(!looks_mistyped("C:/kin"));
        assert!(!looks_mistyped("a folder:/b"));
    }

    #[test]
    fn a_secret_url_is_the_first_line_of_the_input_and_an_empty_one_is_refused() {
        assert_eq!(first_line(&b" redis://u:p@h \nmore"[..]).unwrap(), "redis://u:p@h");
        for nothing in ["", "\n", "-\n"] {
            assert_eq!(first_line(nothing.as_bytes()).unwrap_err().exit_code(), 2, "{nothing:?}");
        }
    }
}
