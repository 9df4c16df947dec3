//! Padding: a relay learns the size of an envelope only roughly.
//!
//! The content is followed by `0x80` and zeros up to `max(1024, Padmé(length))`. Padmé (Nikitin et al., PETS 2019) rounds a
//! length up so that its binary form ends in zeros: of a length of n bits only O(log log n) bits stay visible, for at most
//! 12 % more bytes. The floor makes all small parcels look the same.

/// The smallest padded size in bytes.
pub const FLOOR: usize = 1024;

/// The byte after the content.
const END: u8 = 0x80;

/// The padded bytes are not content, `0x80`, zeros, of the size the content asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the padding is malformed")]
pub struct PaddingError;

/// The size of a content of `len` bytes after padding.
pub const fn padded_len(len: usize) -> usize {
    let with_end = len.saturating_add(1);
    if with_end <= FLOOR { FLOOR } else { padme(with_end) }
}

/// Pads in place.
pub fn pad(content: &mut Vec<u8>) {
    let padded = padded_len(content.len());
    content.push(END);
    content.resize(padded, 0);
}

/// The content of padded bytes. There is one padded form of a content; any other is refused.
pub fn unpad(padded: &[u8]) -> Result<&[u8], PaddingError> {
    let end = padded.iter().rposition(|byte| *byte != 0).ok_or(PaddingError)?;
    let (content, rest) = padded.split_at_checked(end).ok_or(PaddingError)?;
    if rest.first() != Some(&END) || padded_len(content.len()) != padded.len() {
        return Err(PaddingError);
    }
    Ok(content)
}

/// Rounds a length up to the next one with zeros in its `floor(log2 L) - (floor(log2 floor(log2 L)) + 1)` last bits.
const fn padme(len: usize) -> usize {
    if len < 2 {
        return len;
    }
    let exponent = len.ilog2();
    let kept = exponent.ilog2() + 1;
    let mask = (1 << (exponent - kept)) - 1;
    len.saturating_add(mask) & !mask
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::golden::SeededRng;
    use rand::Rng;

    #[test]
    fn lengths_round_as_the_paper_says() {
        for (len, expected) in
            [(9, 10), (65, 72), (100, 104), (1000, 1024), (1025, 1088), (100_000, 100_352), (1_048_577, 1_081_344)]
        {
            assert_eq!(padme(len), expected, "padme({len})");
        }
    }

    #[test]
    fn padded_sizes_are_what_they_were_in_the_first_release() {
        for (len, expected) in [
            (0, 1024),
            (1, 1024),
            (1022, 1024),
            (1023, 1024),
            (1024, 1088),
            (1087, 1088),
            (1088, 1152),
            (2047, 2048),
            (2048, 2176),
            (4096, 4352),
            (10_000, 10_240),
            (65_535, 65_536),
            (65_536, 67_584),
            (1_000_000, 1_015_808),
            (1_048_576, 1_081_344),
            (1_310_720, 1_343_488),
        ] {
            assert_eq!(padded_len(len), expected, "padded_len({len})");
        }
    }

    #[test]
    fn padding_costs_at_most_twelve_percent_and_never_shrinks() {
        let mut before = 0;
        for len in 2..200_000_usize {
            let padded = padme(len);
            assert!(padded >= len && padded >= before, "padme({len}) = {padded}");
            assert!((padded - len) * 100 <= len * 12, "padme({len}) = {padded}");
            assert_eq!(padme(padded), padded);
            before = padded;
        }
    }

    #[test]
    fn what_is_padded_comes_back() {
        let mut rng = SeededRng::new("padding");
        for len in [0, 1, 7, 1022, 1023, 1024, 5000, 70_000] {
            let mut content = vec![0; len];
            rng.fill_bytes(&mut content);
            let mut padded = content.clone();
            pad(&mut padded);
            assert_eq!(padded.len(), padded_len(len));
            assert_eq!(unpad(&padded), Ok(content.as_slice()));
        }
    }

    #[test]
    fn content_that_ends_like_padding_comes_back_whole() {
        for content in [vec![0x80, 0, 0], vec![0; 40], vec![0x80; 40]] {
            let mut padded = content.clone();
            pad(&mut padded);
            assert_eq!(unpad(&padded), Ok(content.as_slice()));
        }
    }

    #[test]
    fn malformed_padding_is_refused() {
        let mut good = b"content".to_vec();
        pad(&mut good);
        assert_eq!(unpad(&good), Ok(b"content".as_slice()));
        let mut without_end = good.clone();
        without_end[7] = 0;
        assert_eq!(unpad(&without_end), Err(PaddingError));
        let mut other_end = good.clone();
        other_end[7] = 0x81;
        assert_eq!(unpad(&other_end), Err(PaddingError));
        let mut dirty = good.clone();
        dirty[1000] = 1;
        assert_eq!(unpad(&dirty), Err(PaddingError));
        assert_eq!(unpad(&good[..1023]), Err(PaddingError), "a size that padding never gives");
        assert_eq!(unpad(&[0; 1024]), Err(PaddingError));
        assert_eq!(unpad(&[]), Err(PaddingError));
    }
}
