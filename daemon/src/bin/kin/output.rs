//! What commands print: words for people, or JSON for programs.
//!
//! With `--json` a command prints one object that begins with `"schema": "kin.<name>/1"`; a stream prints one object a
//! line. Members are only ever added. Colours are used on a terminal unless `NO_COLOR` is set and not empty
//! (no-color.org).

use std::io::{self, IsTerminal, Write};

use serde_json::{Map, Value};

use crate::failure::Failure;

/// Where and how to print.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    /// JSON instead of words.
    pub(crate) json: bool,
    colour: bool,
}

impl Output {
    /// Output as the command line and the environment want it.
    pub(crate) fn new(json: bool) -> Self {
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self { json, colour: !json && !no_colour && !dumb && io::stdout().is_terminal() }
    }

    /// Prints the result of a command: `object` with its schema, or the words.
    pub(crate) fn show(self, name: &str, object: Value, words: impl FnOnce(Style) -> String) -> Result<(), Failure> {
        if self.json { self.object(name, object) } else { self.text(&words(Style { colour: self.colour })) }
    }

    /// Prints one JSON object on one line, its schema first.
    pub(crate) fn object(self, name: &str, mut object: Value) -> Result<(), Failure> {
        let mut whole = Map::new();
        whole.insert("schema".into(), format!("kin.{name}/1").into());
        if let Some(members) = object.as_object_mut() {
            whole.append(members);
        }
        self.text(&Value::Object(whole).to_string())
    }

    /// Prints lines as they are. Ends the last one.
    pub(crate) fn text(self, text: &str) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        write!(stdout, "{text}{end}").and_then(|()| stdout.flush()).map_err(Failure::stdout)
    }

    /// Says something, if it is anything, besides the result: to people only, on stderr.
    pub(crate) fn note(self, text: &str) {
        if !self.json && !text.is_empty() {
            eprintln!("{text}");
        }
    }

    /// The style of words on stdout.
    pub(crate) fn style(self) -> Style {
        Style { colour: self.colour }
    }
}

/// Emphasis, when the reader is a terminal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    colour: bool,
}

impl Style {
    /// No emphasis at all.
    #[cfg(test)]
    pub(crate) const PLAIN: Self = Self { colour: false };

    /// Something is right.
    pub(crate) fn good(self, text: &str) -> String {
        self.paint("32", text)
    }

    /// Something asks for a person.
    pub(crate) fn bad(self, text: &str) -> String {
        self.paint("31", text)
    }

    /// A heading or a name.
    pub(crate) fn strong(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// A detail.
    pub(crate) fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    /// What clears a terminal before the next screen; nothing elsewhere.
    pub(crate) fn clear_screen(self) -> &'static str {
        if self.colour { "\u{1b}[H\u{1b}[2J" } else { "" }
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// What foreign text looks like on a terminal: control characters other than line ends and tabs become visible, so that
/// a message cannot move the cursor or change colours.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|character| match character {
            '\n' | '\t' => character,
            control if control.is_control() => char::REPLACEMENT_CHARACTER,
            // Bidirectional overrides can make a line read as another one.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => char::REPLACEMENT_CHARACTER,
            other => other,
        })
        .collect()
}

/// Columns of equal width, two blanks between them; the last one is not filled.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| seen(cell)).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.push_str(&" ".repeat(width - seen(cell) + 2));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// Characters that take room: escape sequences do not.
fn seen(cell: &str) -> usize {
    let mut count = 0;
    let mut escape = false;
    for character in cell.chars() {
        match (escape, character) {
            (false, '\u{1b}') => escape = true,
            (true, 'm') => escape = false,
            (false, _) => count += 1,
            (true, _) => {}
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_also_around_colours() {
        let colour = Style { colour: true };
        let rows = vec![vec!["a".into(), "x".into()], vec![colour.good("long"), "y".into()]];
        assert_eq!(table(&rows), "a     x\n\u{1b}[32mlong\u{1b}[0m  y\n");
    }

    #[test]
    fn a_message_cannot_command_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\rc\n\td\u{202e}e"), "a\u{fffd}[2Jb\u{fffd}c\n\td\u{fffd}e");
    }
}
