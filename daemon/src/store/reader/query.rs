//! What a person types into a search, as a query that FTS5 cannot misunderstand.
//!
//! Words are separated by white space and all must be there; `"several words"` must be there in this order; `begin*` matches
//! words that begin so. Nothing else has a meaning: every term becomes a quoted string, in which FTS5 knows no operator. Terms
//! without a letter or digit are left out, for the index holds no such word.

/// Longest query that is looked at, in bytes.
pub(super) const MAX_QUERY: usize = 1_024;
/// Most terms: each is a list to intersect.
const MAX_TERMS: usize = 32;

/// The FTS5 query over text and sender, in the conversation of that number and of that sender if one is given; `None` when nothing is
/// asked. The words of the sender make the list of hits short; that it is this sender and no other is for the caller to see.
pub(super) fn fts(typed: &str, conversation: Option<i64>, sender: Option<&str>) -> Option<String> {
    let terms: Vec<String> = terms(typed).collect();
    if terms.is_empty() {
        return None;
    }
    let mut query = format!("{{text sender}} : ({})", terms.join(" AND "));
    if let Some(number) = conversation {
        query.push_str(&format!(" AND place : \"{number}\""));
    }
    if let Some(sender) = sender.filter(|sender| sender.contains(char::is_alphanumeric)) {
        query.push_str(&format!(" AND sender : \"{}\"", sender.replace('"', " ")));
    }
    Some(query)
}

fn terms(typed: &str) -> impl Iterator<Item = String> {
    let end = (0..=typed.len().min(MAX_QUERY)).rev().find(|end| typed.is_char_boundary(*end)).unwrap_or_default();
    let mut rest = typed.get(..end).unwrap_or_default();
    std::iter::from_fn(move || {
        rest = rest.trim_start();
        if rest.is_empty() {
            return None;
        }
        let (term, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => rest.split_at(rest.find(|c: char| c.is_whitespace() || c == '"').unwrap_or(rest.len())),
        };
        rest = after;
        // A star ends a word, inside the quotes' reach or right behind them.
        let (term, begins) = match (term.strip_suffix('*'), rest.strip_prefix('*')) {
            (Some(term), _) => (term, true),
            (None, Some(after)) => {
                rest = after;
                (term, true)
            }
            (None, None) => (term, false),
        };
        Some((term, begins))
    })
    .filter(|(term, _)| term.contains(char::is_alphanumeric))
    .take(MAX_TERMS)
    .map(|(term, begins)| format!("\"{}\"{}", term.replace('"', ""), if begins { "*" } else { "" }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(typed: &str) -> Vec<String> {
        terms(typed).collect()
    }

    #[test]
    fn words_are_joined_by_and() {
        assert_eq!(fts(" red  wine\t", None, None).unwrap(), "{text sender} : (\"red\" AND \"wine\")");
        assert_eq!(fts("red", Some(7), None).unwrap(), "{text sender} : (\"red\") AND place : \"7\"");
    }

    #[test]
    fn a_sender_without_words_is_not_looked_up_by_them() {
        let asked = |sender| fts("red", None, Some(sender)).unwrap();
        assert_eq!(asked("Ann \"A\" Lee"), "{text sender} : (\"red\") AND sender : \"Ann  A  Lee\"");
        assert_eq!(asked("++"), "{text sender} : (\"red\")");
    }

    #[test]
    fn quotes_hold_words_together_and_a_star_opens_their_end() {
        assert_eq!(plain(r#"say "red wine" vine*"#), ["\"say\"", "\"red wine\"", "\"vine\"*"]);
        assert_eq!(plain(r#""red wi"* x"#), ["\"red wi\"*", "\"x\""]);
        assert_eq!(plain(r#""not closed"#), ["\"not closed\""]);
        assert_eq!(plain(r#"a"b c"d"#), ["\"a\"", "\"b c\"", "\"d\""]);
    }

    #[test]
    fn operators_are_only_words() {
        assert_eq!(
            plain("a OR b NOT (c) place:7 ^d"),
            ["\"a\"", "\"OR\"", "\"b\"", "\"NOT\"", "\"(c)\"", "\"place:7\"", "\"^d\""]
        );
    }

    #[test]
    fn what_holds_no_word_asks_nothing() {
        assert_eq!(fts("", None, None), None);
        assert_eq!(fts(" - * \"\" \"!\" ", None, None), None);
    }

    #[test]
    fn long_queries_are_cut_at_a_character() {
        assert_eq!(plain(&"ü".repeat(600)), [format!("\"{}\"", "ü".repeat(512))]);
        assert_eq!(plain(&"a ".repeat(400)).len(), MAX_TERMS);
    }
}
