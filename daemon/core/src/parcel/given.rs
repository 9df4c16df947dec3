//! Epochs in parcels, as bytes.

use prost::Message;

use crate::epoch::{Epoch, GivenEpoch, MAX_GIFT};

#[derive(Clone, PartialEq, Message)]
pub(super) struct GivenWire {
    #[prost(uint32, tag = "1")]
    number: u32,
    #[prost(bytes = "vec", tag = "2")]
    id: Vec<u8>,
    #[prost(bytes = "bytes", tag = "3")]
    gift: bytes::Bytes,
}

impl From<&GivenEpoch> for GivenWire {
    fn from(given: &GivenEpoch) -> Self {
        Self { number: given.epoch.number, id: given.epoch.id.to_vec(), gift: given.gift.clone() }
    }
}

impl GivenWire {
    pub(super) fn read(self) -> Option<GivenEpoch> {
        let epoch = Epoch { number: self.number, id: self.id.try_into().ok()? };
        (self.gift.len() <= MAX_GIFT).then_some(GivenEpoch { epoch, gift: self.gift })
    }
}

/// The id of an epoch in a letter; nothing for one that has none.
pub(super) fn id(epoch: Epoch) -> Vec<u8> {
    if epoch.id == [0; 16] { Vec::new() } else { epoch.id.to_vec() }
}

/// The epoch with that number and id; a letter that names no id names no epoch.
pub(super) fn name(number: u32, id: &[u8]) -> Option<Epoch> {
    if id.is_empty() {
        return Some(Epoch { number, id: [0; 16] });
    }
    Some(Epoch { number, id: id.try_into().ok()? })
}
