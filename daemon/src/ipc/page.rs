//! Pages: their sizes, and tokens that say where the next one begins.
//!
//! A token names the last item of its page, never an offset, so what is written between two pages neither repeats nor hides an item. To
//! callers it is opaque text. It is no secret and needs no signature: a made-up token only begins at another place.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use prost::Message;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tonic::Status;

use super::convert::invalid;
use crate::store::StoreError;

/// Most items of a page.
pub(super) const MAX_PAGE: usize = 1_000;
/// Most bytes of a page, encoded, unless its only item is larger.
pub(super) const MAX_PAGE_BYTES: usize = 1 << 20;
/// Items read at a time: when all have the greatest size of 1 MiB, they take 64 MiB for a moment.
const CHUNK: usize = 64;
/// Most views that a page passes over: reading them takes some 50 ms.
const MAX_SKIPPED: usize = 4_096;
/// Longest token, in characters: a key of 256 bytes, each escaped sixfold in JSON, in base64.
const MAX_TOKEN: usize = 4 * 1024;

/// Some items of a list, and the token of the next page; empty when this was the last.
#[derive(Debug, PartialEq)]
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    pub(super) next: String,
}

/// How many items make a page of the size asked for; `usual` when none was asked for.
pub(super) fn size(asked: u32, usual: usize) -> usize {
    match usize::try_from(asked).unwrap_or(usize::MAX) {
        0 => usual,
        asked => asked.min(MAX_PAGE),
    }
}

/// Reads the page of `size` items after a place: `read` gives so many views after a place, `place` names one, `show` makes an item of it.
pub(super) fn fill<V, P: Serialize, T: Message>(
    after: Option<P>,
    size: usize,
    read: impl FnMut(Option<&P>, usize) -> Result<Vec<V>, StoreError>,
    place: impl Fn(&V) -> P,
    show: impl Fn(V) -> T,
) -> Result<Page<T>, StoreError> {
    fill_some(after, size, read, |_| true, place, show)
}

/// The same of those that `is_shown` lets through. After [`MAX_SKIPPED`] that it does not, the page ends early, perhaps empty; its token
/// leads on.
pub(super) fn fill_some<V, P: Serialize, T: Message>(
    after: Option<P>,
    size: usize,
    mut read: impl FnMut(Option<&P>, usize) -> Result<Vec<V>, StoreError>,
    is_shown: impl Fn(&V) -> bool,
    place: impl Fn(&V) -> P,
    show: impl Fn(V) -> T,
) -> Result<Page<T>, StoreError> {
    let mut items = Vec::new();
    let mut last = after;
    let (mut bytes, mut skipped) = (0, 0);
    loop {
        // One more than fits: it shows that there is a next page.
        let wanted = CHUNK.min(size + 1 - items.len());
        let views = read(last.as_ref(), wanted)?;
        let end = views.len() < wanted;
        for view in views {
            let at = place(&view);
            if !is_shown(&view) {
                last = Some(at);
                skipped += 1;
                continue;
            }
            let item = show(view);
            bytes += item.encoded_len();
            if !items.is_empty() && (items.len() >= size || bytes > MAX_PAGE_BYTES) {
                return Ok(Page { items, next: last.as_ref().map(token).unwrap_or_default() });
            }
            items.push(item);
            last = Some(at);
        }
        if end {
            return Ok(Page { items, next: String::new() });
        }
        if skipped > MAX_SKIPPED {
            return Ok(Page { items, next: last.as_ref().map(token).unwrap_or_default() });
        }
    }
}

/// The place that a token names; `None` for the first page.
pub(super) fn place<P: DeserializeOwned>(token: &str) -> Result<Option<P>, Status> {
    if token.is_empty() {
        return Ok(None);
    }
    let known = (token.len() <= MAX_TOKEN).then(|| URL_SAFE_NO_PAD.decode(token).ok()).flatten();
    let place = known.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    place.map(Some).ok_or_else(|| invalid("the page token is not one of this list").into())
}

/// The token of a place.
pub(super) fn token(place: &impl Serialize) -> String {
    // Text and numbers always become JSON.
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(place).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::error::code;

    #[test]
    fn pages_of_any_size_show_every_item_once() {
        let all: Vec<u64> = (1..=200).collect();
        for size in [1, 2, 63, 64, 65, 199, 200, 201, MAX_PAGE] {
            let mut seen = Vec::new();
            let mut next = String::new();
            loop {
                let page = numbers(place(&next).unwrap(), size, 200);
                assert!(page.items.len() <= size);
                seen.extend(page.items);
                next = page.next;
                if next.is_empty() {
                    break;
                }
                assert!(seen.len() < 200, "the last page has no token");
            }
            assert_eq!(seen, all, "size {size}");
        }
    }

    #[test]
    fn a_page_of_large_items_is_cut_by_bytes_and_never_empty() {
        let large = MAX_PAGE_BYTES / 3;
        let page = fill(None::<u64>, 100, upto(10), |item| *item, |_| vec![0_u8; large]).unwrap();
        assert_eq!((page.items.len(), place(&page.next).unwrap()), (2, Some(2_u64)));
        let huge = fill(None::<u64>, 100, upto(10), |item| *item, |_| vec![0_u8; MAX_PAGE_BYTES * 2]).unwrap();
        assert_eq!((huge.items.len(), place(&huge.next).unwrap()), (1, Some(1_u64)));
    }

    #[test]
    fn what_is_not_shown_is_passed_over_and_a_page_gives_up_in_time() {
        let hundreds =
            |after| fill_some(after, 3, upto(1_000), |item| item % 100 == 0, |item| *item, |item| item).unwrap();
        let first = hundreds(None);
        assert_eq!(first.items, [100, 200, 300]);
        let rest: Vec<u64> = hundreds(place(&first.next).unwrap()).items;
        assert_eq!(rest, [400, 500, 600]);
        let (mut next, mut pages) = (String::new(), 0);
        loop {
            let page = fill_some(place(&next).unwrap(), 3, upto(20_000), |_| false, |item| *item, |item| item).unwrap();
            assert!(page.items.is_empty());
            next = page.next;
            pages += 1;
            if next.is_empty() {
                break;
            }
        }
        assert_eq!(pages, 20_000 / MAX_SKIPPED + 1, "each page passes over so many, and the last one ends");
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let other = numbers(None, 1, 2).next;
        let long = "A".repeat(MAX_TOKEN + 4);
        for garbage in ["!", "AAAA", other.as_str(), long.as_str()] {
            let refused = place::<(i64, String)>(garbage).unwrap_err();
            assert_eq!(code(&refused), "invalid_argument", "{garbage}");
        }
    }

    #[test]
    fn sizes_stay_within_their_limits() {
        assert_eq!([size(0, 20), size(7, 20), size(1_001, 20), size(u32::MAX, 20)], [20, 7, 1_000, 1_000]);
    }

    #[test]
    fn the_longest_key_makes_a_token_that_is_taken_back() {
        let longest = (i64::MIN, "\u{1}".repeat(256));
        assert_eq!(place::<(i64, String)>(&token(&longest)).unwrap(), Some(longest));
    }

    fn numbers(after: Option<u64>, size: usize, last: u64) -> Page<u64> {
        fill(after, size, upto(last), |item| *item, |item| item).unwrap()
    }

    /// Reads the numbers after a number, up to `last`.
    fn upto(last: u64) -> impl FnMut(Option<&u64>, usize) -> Result<Vec<u64>, StoreError> {
        move |after, most| Ok((after.map_or(1, |after| after + 1)..=last).take(most).collect())
    }
}
