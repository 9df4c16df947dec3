//! The inviter's side.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use kinfolk_core::ids::{DeviceId, Millis};
use kinfolk_core::roster::Addition;
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, info, warn};

use super::rendezvous::Rendezvous;
use super::{InviteError, LOOK, left, welcome};
use crate::credentials::announced;
use crate::driver::{DriverError, wall_clock};
use crate::node::Node;
use crate::seal::GroupSecret;
use crate::seal::pairing::{CODE_TRIES, Confirmed, Inviter, PairingError, Post};
use crate::sync::Mode;

/// What becomes of an invitation, in this order.
pub enum InviteEvent {
    /// The card: to be given to the new device.
    Card {
        /// Its text.
        uri: String,
        /// When it becomes void, by the wall clock.
        expires: Millis,
    },
    /// The offer lies on these relays; nobody answered yet.
    Waiting {
        /// Their URLs, without secrets.
        relays: Vec<String>,
    },
    /// A device answered. Its name is not proven.
    Answered {
        /// What it calls itself.
        name: String,
    },
    /// The new device shows a code: it must be typed here.
    CodeNeeded {
        /// Wrong codes that are still allowed.
        tries_left: u32,
    },
    /// Done. The last event.
    Paired(DeviceId),
    /// Nobody was added. The last event.
    Failed(InviteError),
}

impl fmt::Debug for InviteEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // The card is a secret.
            Self::Card { expires, .. } => write!(f, "Card(redacted, expires {})", expires.0),
            Self::Waiting { relays } => write!(f, "Waiting({relays:?})"),
            Self::Answered { name } => write!(f, "Answered({name:?})"),
            Self::CodeNeeded { tries_left } => write!(f, "CodeNeeded({tries_left})"),
            Self::Paired(device) => write!(f, "Paired({device})"),
            Self::Failed(error) => write!(f, "Failed({error:?})"),
        }
    }
}

type Answer = oneshot::Sender<Result<DeviceId, InviteError>>;

/// The end of an open invitation that takes codes.
#[derive(Clone, Debug)]
pub struct Invitation {
    codes: mpsc::Sender<(String, Answer)>,
}

impl Invitation {
    /// Opens an invitation on all reachable relays.
    ///
    /// # Errors
    /// [`InviteError::NoRelay`], [`InviteError::Off`], or what kept the offer from being left there.
    pub async fn open(node: Arc<Node>) -> Result<(Self, mpsc::Receiver<InviteEvent>), InviteError> {
        if node.plan().mode == Mode::Off {
            return Err(InviteError::Off);
        }
        let relays = node.reach_all().await;
        if relays.is_empty() {
            return Err(InviteError::NoRelay);
        }
        let shown = node.relays().await.into_iter().filter(|relay| relay.ok).map(|relay| relay.url).collect();
        let credentials = Arc::clone(&node.credentials);
        let urls = node.relay_urls().await;
        let inviter =
            Inviter::new(&credentials.identity, credentials.roster_id(), urls, wall_clock(), &mut rand::rng())?;
        let rendezvous = Rendezvous::new(relays);
        rendezvous.post(inviter.offer()).await?;
        let (events, heard) = mpsc::channel(16);
        let (codes, typed) = mpsc::channel(4);
        let card = InviteEvent::Card { uri: inviter.card().to_text().to_string(), expires: inviter.card().expires() };
        // The channel is empty and has room for both.
        events.try_send(card).ok();
        events.try_send(InviteEvent::Waiting { relays: shown }).ok();
        tokio::spawn(Host { node, inviter, rendezvous, events, typed }.run());
        Ok((Self { codes }, heard))
    }

    /// Whether the invitation is over.
    pub fn is_over(&self) -> bool {
        self.codes.is_closed()
    }

    /// Takes the code that the person typed.
    ///
    /// # Errors
    /// The wrong code with the tries left, or why pairing ended.
    pub async fn confirm(&self, code: &str) -> Result<DeviceId, InviteError> {
        let (reply, answer) = oneshot::channel();
        self.codes.send((code.to_owned(), reply)).await.map_err(|_| InviteError::None)?;
        answer.await.unwrap_or(Err(InviteError::None))
    }
}

struct Host {
    node: Arc<Node>,
    inviter: Inviter,
    rendezvous: Rendezvous,
    events: mpsc::Sender<InviteEvent>,
    typed: mpsc::Receiver<(String, Answer)>,
}

impl Host {
    async fn run(mut self) {
        let outcome = self.host().await;
        self.typed.close();
        let last = match outcome {
            Ok(device) => InviteEvent::Paired(device),
            Err(error) => InviteEvent::Failed(error),
        };
        let [offer, answer, accept, finalize] = self.inviter.mailboxes();
        // The new device has still to fetch the last message of a pairing that held; the relay's retention removes it.
        let left = if matches!(last, InviteEvent::Paired(_)) { vec![] } else { vec![finalize] };
        let off = matches!(last, InviteEvent::Failed(InviteError::Off));
        self.events.send(last).await.ok();
        if off {
            // Nothing is reached any more; what lies there expires.
            return;
        }
        self.rendezvous.clear(&[vec![offer, answer, accept], left].concat()).await;
    }

    async fn host(&mut self) -> Result<DeviceId, InviteError> {
        let expires = self.inviter.card().expires();
        let expiry = tokio::time::sleep(left(expires, wall_clock()));
        tokio::pin!(expiry);
        let mailbox = self.inviter.answer_mailbox();
        let mut seen = BTreeSet::new();
        loop {
            tokio::select! {
                answer = self.rendezvous.next(mailbox, &mut seen) => self.answered(&answer).await?,
                typed = self.typed.recv() => {
                    let Some((code, reply)) = typed else { return Err(InviteError::None) };
                    if let Some(outcome) = self.confirm(&code, reply).await {
                        return outcome;
                    }
                }
                () = self.events.closed() => return Err(InviteError::None),
                () = self.node.switched_off() => return Err(InviteError::Off),
                () = &mut expiry => {
                    return Err(PairingError::Expired { expires, now: wall_clock() }.into());
                }
            }
        }
    }

    async fn answered(&mut self, answer: &[u8]) -> Result<(), InviteError> {
        let identity = &self.node.credentials.identity;
        let first = self.inviter.candidate().is_none();
        let accepted = self.inviter.on_answer(answer, wall_clock(), identity, &mut rand::rng());
        match accepted {
            Ok(accept) => {
                self.leave(&accept).await?;
                if let Some(device) = self.inviter.candidate().filter(|_| first) {
                    let name = device.name.clone();
                    self.events.send(InviteEvent::Answered { name }).await.ok();
                    self.events.send(InviteEvent::CodeNeeded { tries_left: CODE_TRIES }).await.ok();
                }
                Ok(())
            }
            Err(error @ (PairingError::CardUsed | PairingError::Burned | PairingError::Expired { .. })) => {
                Err(error.into())
            }
            Err(error) => {
                debug!(%error, "something in the answer's mailbox was ignored");
                Ok(())
            }
        }
    }

    /// Leaves a message on a relay; one that is away is waited for until the card expires.
    async fn leave(&self, post: &Post) -> Result<(), InviteError> {
        while let Err(error) = self.rendezvous.post(post).await {
            if wall_clock() >= self.inviter.card().expires() {
                return Err(error.into());
            }
            warn!(%error, "a pairing message could not be left on a relay yet");
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// Takes a typed code; `Some` when that ended the invitation.
    async fn confirm(&mut self, code: &str, reply: Answer) -> Option<Result<DeviceId, InviteError>> {
        let confirmed = match self.inviter.confirm(code, wall_clock()) {
            Ok(confirmed) => confirmed,
            Err(error) => {
                let left = if let PairingError::WrongCode { left } = &error { Some(*left) } else { None };
                reply.send(Err(error.clone().into())).ok();
                return match left {
                    Some(0) => Some(Err(error.into())),
                    Some(tries_left) => {
                        self.events.send(InviteEvent::CodeNeeded { tries_left }).await.ok();
                        None
                    }
                    None => None,
                };
            }
        };
        let device = confirmed.device.id;
        match self.admit(confirmed).await {
            Ok(()) => {
                reply.send(Ok(device)).ok();
                Some(Ok(device))
            }
            Err(error) => {
                reply.send(Err(error.clone())).ok();
                Some(Err(error))
            }
        }
    }

    /// Roster first, welcome second.
    async fn admit(&mut self, confirmed: Confirmed) -> Result<(), InviteError> {
        let Confirmed { device, device_bytes, join_signature, card_hash } = confirmed;
        let id = device.id;
        if self.node.driver.roster().borrow().member(id).is_some() {
            return Err(DriverError::Roster("a device with this id is on the roster already").into());
        }
        self.node.driver.add_device(Addition { device, device_bytes, join_signature, card_hash }).await?;
        let mut roster = self.node.driver.roster();
        let known = roster.wait_for(|roster| roster.member(id).is_some()).await;
        let roster = Arc::clone(&*known.map_err(|_| DriverError::Stopping)?);
        let credentials = &self.node.credentials;
        let (keyring, current) = (credentials.keyring(), self.node.driver.picture().borrow().status.epoch);
        let group = keyring.group(current).ok_or(DriverError::Roster("this device holds no group secret"))?;
        // With the earlier ones it can reach devices that know no later one, should it be the only one left that could.
        let held = keyring.groups.iter().chain(&keyring.resting);
        let earlier: Vec<&GroupSecret> = held.filter(|earlier| earlier.id() != current).collect();
        // Its first letters must be sealed to seeds that are still held.
        let status = self.node.driver.picture().borrow().status.clone();
        let own = keyring.prekeys.iter().max_by_key(|prekey| prekey.slot()).map(announced);
        let own = own.map(|prekey| (credentials.me, prekey));
        let known = status.siblings.into_iter().map(|sibling| (sibling.device, sibling.prekey)).chain(own);
        let on_roster = |id| roster.member(id).map(|member| member.device.prekey.slot);
        let newer: Vec<_> =
            known.filter(|(id, prekey)| on_roster(*id).is_some_and(|slot| slot < prekey.slot)).collect();
        let welcome = welcome::encode(&roster, group, &earlier, &self.node.relay_urls().await, &newer);
        let finalize = self.inviter.finalize(&welcome, &credentials.identity, &mut rand::rng())?;
        self.leave(&finalize).await?;
        info!(device = %id, "a device was added");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_is_not_shown_by_debug() {
        let card = InviteEvent::Card { uri: "kinfolk:canary".into(), expires: Millis(5) };
        let shown = format!("{card:?}");
        assert!(!shown.contains("canary") && shown.contains("redacted"), "{shown}");
    }
}
