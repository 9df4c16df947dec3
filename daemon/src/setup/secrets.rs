//! The secrets of a device in its store, each wrapped under the key-encryption key for its own place; the URLs of relays, which may hold
//! passwords, among them.

use kinfolk_core::ids::{Millis, RelayId};
use kinfolk_core::step::Change;
use rand::CryptoRng;
use zeroize::Zeroizing;

use super::SetupError;
use crate::credentials;
use crate::driver::wall_clock;
use crate::relay::RelayUrl;
use crate::seal::wrap::{Place, WrapError};
use crate::seal::{GroupId, GroupSecret, Kek, Prekey};
use crate::store::{SavedRelay, Store};

/// The Ed25519 seed.
pub(super) const IDENTITY: &str = "identity";
/// The X-Wing seed of the prekey, as versions kept it that knew one only.
const PREKEY: &str = "prekey";
/// The group secret, as versions kept it that knew one epoch only.
const GROUP: &str = "group";

/// The state token.
pub(super) const TOKEN: &str = "state-token";

/// Where a wrapped secret belongs.
fn place(name: &'static str) -> Place<'static> {
    Place { table: "secret", row: name.as_bytes(), version: 1 }
}

pub(super) fn keep(
    store: &Store,
    kek: &Kek,
    name: &'static str,
    secret: &[u8],
    rng: &mut impl CryptoRng,
) -> Result<(), SetupError> {
    store.put_secret(name, &kek.wrap(place(name), secret, rng)?)?;
    Ok(())
}

pub(super) fn reveal(store: &Store, kek: &Kek, name: &'static str) -> Result<Zeroizing<Vec<u8>>, SetupError> {
    find(store, kek, name)?.ok_or(SetupError::NoSecret(name))
}

/// The same for one that need not be there.
pub(super) fn find(store: &Store, kek: &Kek, name: &'static str) -> Result<Option<Zeroizing<Vec<u8>>>, SetupError> {
    let Some(wrapped) = store.secret(name)? else { return Ok(None) };
    Ok(Some(kek.reveal(place(name), &wrapped)?))
}

/// Moves the group secret of an earlier version to where epochs are kept.
pub(super) fn adopt_group(store: &mut Store, kek: &Kek) -> Result<(), SetupError> {
    let Some(bytes) = find(store, kek, GROUP)? else { return Ok(()) };
    let group = decode_group(&bytes).ok_or(SetupError::NoSecret(GROUP))?;
    let kept = credentials::keep(kek, &group, store.restore()?.roster)?;
    store.begin()?;
    store.apply(&Change::Epoch(kept))?;
    store.commit()?;
    Ok(store.shred_secret(GROUP)?)
}

/// Moves the seed of an earlier version to where prekeys are kept. It is old, and replaced as soon as everything was fetched.
pub(super) fn adopt_prekey(store: &mut Store, kek: &Kek) -> Result<(), SetupError> {
    let Some(seed) = find(store, kek, PREKEY)? else { return Ok(()) };
    let slot = store.restore()?.prekey.slot;
    let prekey = Prekey::from_seed(slot, &*exactly(&seed, PREKEY)?).map_err(|_| SetupError::NoSecret(PREKEY))?;
    let kept = credentials::keep_prekey(kek, &prekey, Millis(1))?;
    store.begin()?;
    store.apply(&Change::Prekey(kept))?;
    store.commit()?;
    Ok(store.shred_secret(PREKEY)?)
}

pub(super) fn exactly(bytes: &[u8], name: &'static str) -> Result<Zeroizing<[u8; 32]>, SetupError> {
    let bytes: [u8; 32] = bytes.try_into().map_err(|_| SetupError::NoSecret(name))?;
    Ok(Zeroizing::new(bytes))
}

/// A relay as it is kept.
pub(crate) fn saved_relay(
    kek: &Kek,
    id: RelayId,
    url: &RelayUrl,
    rng: &mut impl CryptoRng,
) -> Result<SavedRelay, WrapError> {
    let wrapped = kek.wrap(url_place(&id), url.expose().as_bytes(), rng)?;
    Ok(SavedRelay { id, url: wrapped, display: url.to_string(), added: wall_clock() })
}

/// The URL of a relay that was kept.
pub(crate) fn reveal_url(kek: &Kek, relay: &SavedRelay) -> Result<RelayUrl, SetupError> {
    let url = kek.reveal(url_place(&relay.id), &relay.url)?;
    let url = std::str::from_utf8(&url).ok().and_then(|url| RelayUrl::parse(url).ok());
    url.ok_or(SetupError::NoSecret("relay url"))
}

fn url_place(id: &RelayId) -> Place<'_> {
    Place { table: "relay", row: id.as_bytes(), version: 1 }
}

/// Number, name and secret of an epoch: 4 + 16 + 32 bytes. For a welcome.
pub(crate) fn encode_group(group: &GroupSecret) -> Zeroizing<Vec<u8>> {
    let id = group.id();
    let mut bytes = Zeroizing::new(Vec::with_capacity(GROUP_BYTES));
    bytes.extend_from_slice(&id.number.to_be_bytes());
    bytes.extend_from_slice(&id.id);
    bytes.extend_from_slice(group.secret().as_slice());
    bytes
}

/// Reads what [`encode_group`] wrote.
pub(crate) fn decode_group(bytes: &[u8]) -> Option<GroupSecret> {
    let (number, rest) = bytes.split_first_chunk::<4>()?;
    let (id, secret) = rest.split_first_chunk::<16>()?;
    let secret = Zeroizing::new(<[u8; 32]>::try_from(secret).ok()?);
    Some(GroupSecret::from_secret(GroupId { number: u32::from_be_bytes(*number), id: *id }, &secret))
}

const GROUP_BYTES: usize = 4 + 16 + 32;
