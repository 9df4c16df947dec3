//! Compression of a parcel before it is padded and sealed.
//!
//! A parcel is compressed as a whole, never together with bytes of another origin: it holds only what this person's devices
//! wrote, and padding blurs the length that is left.

use kinfolk_core::parcel::MAX_PARCEL;
use std::io;

/// zstd's level 1: parcels are compressed on the way of a live event.
const LEVEL: i32 = 1;

/// Greatest size of a compressed parcel: zstd's own bound for inputs over 128 KiB is `n + n/256`; the 1 KiB is to spare.
pub const MAX_COMPRESSED: usize = MAX_PARCEL + MAX_PARCEL / 256 + 1024;

/// Why bytes could not be compressed or decompressed.
#[derive(Debug, thiserror::Error)]
pub enum CompressError {
    /// Larger than [`MAX_PARCEL`].
    #[error("a parcel is at most {MAX_PARCEL} bytes, got {got}")]
    TooLarge {
        /// Its length.
        got: usize,
    },
    /// zstd refused: damaged bytes, or more than [`MAX_PARCEL`] of content.
    #[error("zstd: {0}")]
    Zstd(#[source] io::Error),
}

/// Compresses a parcel of at most [`MAX_PARCEL`] bytes.
pub fn compress(parcel: &[u8]) -> Result<Vec<u8>, CompressError> {
    if parcel.len() > MAX_PARCEL {
        return Err(CompressError::TooLarge { got: parcel.len() });
    }
    zstd::bulk::compress(parcel, LEVEL).map_err(CompressError::Zstd)
}

/// Decompresses a parcel. Never takes memory for more than [`MAX_PARCEL`] bytes, whatever the input claims or holds: the
/// output buffer has that size at most and zstd's window is the buffer itself.
pub fn decompress(compressed: &[u8]) -> Result<Vec<u8>, CompressError> {
    zstd::bulk::decompress(compressed, MAX_PARCEL).map_err(CompressError::Zstd)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::golden::SeededRng;
    use rand::Rng;
    use std::io::Write;

    #[test]
    fn a_parcel_comes_back_and_text_shrinks() {
        let parcel = b"the same words again and again ".repeat(1000);
        let compressed = compress(&parcel).unwrap();
        assert!(compressed.len() < parcel.len() / 10);
        assert_eq!(decompress(&compressed).unwrap(), parcel);
        assert_eq!(decompress(&compress(b"").unwrap()).unwrap(), b"");
    }

    #[test]
    fn the_largest_parcel_fits_even_when_it_does_not_compress() {
        let mut parcel = vec![0; MAX_PARCEL];
        let mut state = 1_u64;
        for byte in &mut parcel {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = state.to_be_bytes()[0];
        }
        let compressed = compress(&parcel).unwrap();
        assert!(compressed.len() <= MAX_COMPRESSED);
        assert_eq!(decompress(&compressed).unwrap(), parcel);
    }

    #[test]
    fn a_parcel_over_the_limit_is_refused_with_its_size() {
        let error = compress(&vec![0; MAX_PARCEL + 1]).unwrap_err();
        assert!(matches!(error, CompressError::TooLarge { got } if got == MAX_PARCEL + 1));
    }

    #[test]
    fn a_bomb_that_states_its_size_is_refused() {
        let bomb = zstd::bulk::compress(&vec![0; 64 << 20], 3).unwrap();
        assert!(bomb.len() < 64 << 10);
        assert!(matches!(decompress(&bomb), Err(CompressError::Zstd(_))));
    }

    #[test]
    fn a_bomb_that_hides_its_size_is_refused() {
        let mut encoder = zstd::stream::Encoder::new(Vec::new(), 3).unwrap();
        encoder.include_contentsize(false).unwrap();
        for _ in 0..64 {
            encoder.write_all(&vec![0; 1 << 20]).unwrap();
        }
        let bomb = encoder.finish().unwrap();
        assert!(bomb.len() < 64 << 10);
        assert!(matches!(decompress(&bomb), Err(CompressError::Zstd(_))));
    }

    #[test]
    fn a_bomb_of_many_frames_is_refused() {
        let frame = compress(&vec![0; MAX_PARCEL]).unwrap();
        assert!(decompress(&frame).is_ok());
        assert!(decompress(&frame.repeat(2)).is_err());
    }

    #[test]
    fn garbage_is_refused() {
        let mut garbage = vec![0; 4096];
        SeededRng::new("garbage").fill_bytes(&mut garbage);
        assert!(decompress(&garbage).is_err());
        let mut truncated = compress(&b"words ".repeat(100)).unwrap();
        truncated.pop();
        assert!(decompress(&truncated).is_err());
    }
}
