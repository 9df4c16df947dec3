//! Just enough Rust to look for names: the code of a file without its comments and literals.
//!
//! Comments, strings and characters become spaces and line ends stay, so that what is found is code and its line number is right.

/// The code in `text`, with everything else blanked.
pub fn code(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let length = skipped(rest, out.chars().next_back());
        if length == 0 {
            out.push(next);
            rest = &rest[next.len_utf8()..];
        } else {
            let (blank, after) = rest.split_at(length);
            out.extend(blank.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            rest = after;
        }
    }
    out
}

/// The code in `text` up to its tests, which stand at the bottom.
pub fn code_without_tests(text: &str) -> String {
    let mut code = code(text);
    if let Some(at) = code.find("\n#[cfg(test)]\nmod ") {
        code.truncate(at + 1);
    }
    code
}

/// Lines (from 1) on which `name` stands as a whole word. A name may hold `::`, `!` or `(`.
pub fn lines_with(code: &str, name: &str) -> Vec<usize> {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let whole = |line: &str, at: usize| {
        let before = line[..at].chars().next_back().is_some_and(word);
        let after = line[at + name.len()..].chars().next().is_some_and(word);
        !(before && name.starts_with(word) || after && name.ends_with(word))
    };
    let found = |line: &str| line.match_indices(name).any(|(at, _)| whole(line, at));
    code.lines().enumerate().filter(|(_, line)| found(line)).map(|(index, _)| index + 1).collect()
}

/// Lines (from 1) on which one of `modules` of the crate `root` is named, as `root::module` or in `root::{…}`.
pub fn lines_with_path(code: &str, root: &str, modules: &[&str]) -> Vec<usize> {
    let mut lines = Vec::new();
    let lead = format!("{root}::");
    for (at, _) in code.match_indices(&lead) {
        let rest = &code[at + lead.len()..];
        let line = code[..at].matches('\n').count() + 1;
        let group = rest.strip_prefix('{').map(|inner| &inner[..group_end(inner)]);
        let named = match group {
            Some(group) => top_level(group).iter().any(|item| modules.contains(&first_word(item))),
            None => modules.contains(&first_word(rest)),
        };
        if named {
            lines.push(line);
        }
    }
    lines
}

/// How many bytes at the start of `rest` are comment or literal; 0 when it is code.
fn skipped(rest: &str, before: Option<char>) -> usize {
    let to = |end: Option<usize>| end.unwrap_or(rest.len());
    if rest.starts_with("//") {
        return to(rest.find('\n'));
    }
    if rest.starts_with("/*") {
        return to(rest.find("*/").map(|at| at + 2));
    }
    if rest.starts_with('"') {
        return quoted(rest);
    }
    let in_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if !in_word {
        let raw = rest.trim_start_matches(['b', 'c']);
        if rest.len() - raw.len() <= 1
            && let Some(hashes) = raw.strip_prefix('r')
        {
            let count = hashes.len() - hashes.trim_start_matches('#').len();
            if hashes[count..].starts_with('"') {
                let end = format!("\"{}", "#".repeat(count));
                let start = rest.len() - hashes.len() + count + 1;
                return to(rest[start..].find(&end).map(|at| start + at + end.len()));
            }
        }
    }
    character(rest)
}

/// Length of the string literal at the start.
fn quoted(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            '"' if !escaped => return at + 1,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    rest.len()
}

/// Length of the character literal at the start; 0 for a lifetime.
fn character(rest: &str) -> usize {
    let Some(inner) = rest.strip_prefix('\'') else { return 0 };
    if inner.starts_with('\\') {
        return inner.char_indices().skip(2).find(|(_, c)| *c == '\'').map_or(0, |(at, _)| at + 2);
    }
    let mut chars = inner.chars();
    match (chars.next(), chars.next()) {
        (Some(c), Some('\'')) => c.len_utf8() + 2,
        _ => 0,
    }
}

fn group_end(inner: &str) -> usize {
    let mut depth = 1_u32;
    for (at, c) in inner.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    inner.len()
}

fn top_level(group: &str) -> Vec<&str> {
    let mut depth = 0_u32;
    let parts = group.split(|c| {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    });
    parts.map(str::trim).collect()
}

fn first_word(text: &str) -> &str {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_strings_and_characters_are_no_code() {
        let text =
            "let a = \"x // \\\" y\"; // z\nlet b: &'static str = r#\"q\"w\"#; /* k\n */ let c = '\\''; let d = 'e';";
        let code = code(text);
        assert_eq!(code.split_whitespace().collect::<String>(), "leta=;letb:&'staticstr=;letc=;letd=;");
        assert_eq!(code.lines().count(), text.lines().count());
    }

    #[test]
    fn names_are_whole_words() {
        assert_eq!(lines_with("a\nrusqlite::x\nmy_rusqlite", "rusqlite"), [2]);
        assert_eq!(lines_with("dbg!(1)", "dbg!"), [1]);
    }

    #[test]
    fn a_module_is_found_in_a_group() {
        assert_eq!(lines_with_path("use std::{fmt, fs::{self, File}};", "std", &["fs"]), [1]);
        assert_eq!(lines_with_path("use std::{fmt, io};\nstd::net::x()", "std", &["net"]), [2]);
        assert!(lines_with_path("use std::{fmt::{self, env}};", "std", &["env"]).is_empty());
    }

    #[test]
    fn tests_at_the_bottom_are_cut_off() {
        assert_eq!(code_without_tests("a();\n#[cfg(test)]\nmod tests { b(); }"), "a();\n");
    }
}
