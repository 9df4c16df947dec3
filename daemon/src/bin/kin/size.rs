//! Sizes as people write them: `500M`, `2G`, `65536`.

/// Reads a size in bytes; a unit is a power of 1,024.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let rule = || format!("`{text}` is no size: a number of bytes, or with K, M, G or T at its end, such as 500M");
    let digits = text.trim_end_matches("iB").trim_end_matches('B');
    let (number, unit) = match digits.char_indices().last() {
        Some((at, unit)) if !unit.is_ascii_digit() => (&digits[..at], Some(unit.to_ascii_uppercase())),
        Some(_) | None => (digits, None),
    };
    let shift = match unit {
        None => 0,
        Some('K') => 10,
        Some('M') => 20,
        Some('G') => 30,
        Some('T') => 40,
        Some(_) => return Err(rule()),
    };
    let number: u64 = number.parse().map_err(|_| rule())?;
    number.checked_mul(1 << shift).filter(|bytes| *bytes > 0).ok_or_else(rule)
}

/// Shows a size in the greatest unit of which it is a whole number of, or in bytes.
pub(crate) fn show(bytes: u64) -> String {
    for (shift, unit) in [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")] {
        if bytes >= 1 << shift && bytes.is_multiple_of(1 << shift) {
            return format!("{} {unit}", bytes >> shift);
        }
    }
    format!("{bytes} bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_and_without_units_and_shown_in_the_greatest() {
        for (text, bytes, shown) in [
            ("1", 1, "1 bytes"),
            ("65536", 65_536, "64 KiB"),
            ("500M", 500 << 20, "500 MiB"),
            ("2g", 2 << 30, "2 GiB"),
            ("3GiB", 3 << 30, "3 GiB"),
            ("10kB", 10 << 10, "10 KiB"),
            ("1T", 1 << 40, "1 TiB"),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
            assert_eq!(show(bytes), shown);
        }
    }

    #[test]
    fn what_is_no_size_is_refused_with_an_example() {
        for text in ["", "0", "-1", "x", "M", "1.5G", "99999999999T", "1é"] {
            assert!(parse(text).unwrap_err().contains("500M"), "{text}");
        }
    }
}
