//! End to end: the real programs, in real homes, over a real shared folder, as a person and their scripts use them.
//!
//! A [`Scenario`] is named as the sentence it shows. Each runs in a process of its own, in a world of its own (`world`), so that a hang
//! ends that scenario and no other. Scenarios wait for what programs say (`kin wait`, a line, an exit), never for time to pass.

mod broken_server;
mod clients;
mod compaction;
mod config;
mod conflicts;
mod copied;
mod corpus;
mod cursors;
mod damaged;
mod device;
mod errors;
mod faults;
mod grpc;
mod history;
mod image;
mod injection;
mod kill;
mod modes;
mod pairing;
mod papers;
mod points;
mod programs;
mod relays;
mod removal;
mod restored;
mod retention;
mod seeds;
mod signals;
mod soak;
mod talk;
mod tokens;
mod transcript;
mod ways;
mod world;

use std::time::Duration;
use std::{env, io};

pub use programs::Programs;

/// One thing that must hold.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// The sentence.
    pub name: &'static str,
    /// Shows it.
    pub run: fn(&Programs) -> Result<(), Failed>,
}

/// All scenarios.
pub const SCENARIOS: &[Scenario] = &[
    Scenario { name: "two devices pair and see each other", run: pairing::two_devices },
    Scenario { name: "pairing with one joins all", run: pairing::three_devices },
    Scenario { name: "a wrong code is refused and three burn the card", run: pairing::wrong_codes },
    Scenario { name: "a bad card changes nothing", run: pairing::bad_cards },
    Scenario { name: "a card is good for one use", run: pairing::used_twice },
    Scenario { name: "a history imported on one device is whole on the other", run: history::import_arrives },
    Scenario { name: "reads, deletions and records converge both ways", run: history::changes_converge },
    Scenario { name: "what was written before pairing is shared too", run: history::older_than_the_pairing },
    Scenario { name: "neither relay folder nor database shows what was written", run: history::nothing_in_clear },
    Scenario { name: "a restart forgets nothing", run: history::restart },
    Scenario {
        name: "an acknowledged cursor outlives a kill, and one that was not written down loses nothing",
        run: cursors::acknowledged_over_kills,
    },
    Scenario {
        name: "a cursor from before a device was put back is refused although its place is there again",
        run: cursors::of_another_order,
    },
    Scenario {
        name: "titles, members and synced read markers reach the other device, local markers do not",
        run: talk::described_and_read,
    },
    Scenario {
        name: "an archive imported by somebody else gives the same digest and the same export",
        run: talk::archive,
    },
    Scenario { name: "a conflict is seen on both devices and settled on one", run: conflicts::settled },
    Scenario { name: "a compacted log tells a device that joins later all that counts", run: compaction::joins_later },
    Scenario { name: "a device killed while it catches up goes on", run: compaction::killed_while_catching_up },
    Scenario { name: "old bodies go from a device while another one keeps them", run: retention::prunes },
    Scenario { name: "who joins for the recent past has old bodies later", run: retention::joins_for_the_recent },
    Scenario { name: "every wrong use gets its own exit code", run: errors::exit_codes },
    Scenario { name: "a bad line stops an import by its number", run: errors::bad_line },
    Scenario { name: "an oversized message is refused and nothing else is lost", run: errors::too_large },
    Scenario { name: "settings that cannot be used are named, and nothing is lost", run: config::refused },
    Scenario { name: "prekeys follow one another and mail to each is read", run: config::short_rotation },
    Scenario { name: "a second daemon in one home is refused", run: errors::second_daemon },
    Scenario { name: "a home that is set up is never set up again", run: errors::set_up_once },
    Scenario { name: "a lost key file locks the device and makes no new one", run: errors::lost_key },
    Scenario { name: "a kill during an import loses nothing that was accepted", run: faults::killed_import },
    Scenario { name: "kills during an import over a folder lose nothing", run: kill::over_a_folder },
    Scenario {
        name: "kills while both devices write over a folder lose nothing",
        run: kill::over_a_folder_while_both_write,
    },
    Scenario {
        name: "kills during an import over Redis that keeps its mail lose nothing",
        run: kill::over_redis_that_keeps,
    },
    Scenario {
        name: "kills during an import over Redis that comes back empty lose nothing",
        run: kill::over_redis_that_forgets,
    },
    Scenario { name: "kills while both devices write over Redis lose nothing", run: kill::over_redis_while_both_write },
    Scenario {
        name: "a failure at any write to disk during set-up leaves a whole device or none",
        run: injection::set_up,
    },
    Scenario {
        name: "a failure at any write to disk while joining leaves a whole device or none",
        run: injection::join,
    },
    Scenario {
        name: "a failure at any write to disk while at work loses and doubles nothing",
        run: injection::at_work,
    },
    Scenario { name: "a damaged database or key is named and never replaced", run: damaged::files },
    Scenario { name: "a single damaged page is found by verify", run: damaged::one_page },
    Scenario {
        name: "a write-ahead log that is cut, damaged or gone costs nothing that a sibling holds",
        run: damaged::write_ahead_log,
    },
    Scenario {
        name: "a disk that is full or read-only refuses writes, and keeps what was accepted",
        run: damaged::full,
    },
    Scenario { name: "two devices see each other's edits as they are made", run: seeds::live_edits },
    Scenario {
        name: "a push that a kill cut off is pushed again with the same number and counts once",
        run: seeds::pushed_again,
    },
    Scenario { name: "an edit made offline arrives when the device is online again", run: seeds::offline_edit },
    Scenario { name: "a push out of its order is told the number to go on with", run: seeds::out_of_order },
    Scenario { name: "the same text from two devices at the same time is two messages", run: seeds::same_text },
    Scenario {
        name: "a message deleted while the other device is off is gone there when it returns",
        run: seeds::deleted_meanwhile,
    },
    Scenario {
        name: "a soak: five devices write while everything goes wrong, and hold the same in the end",
        run: soak::five_devices,
    },
    Scenario { name: "three devices share a Redis and one is off for a while", run: ways::three_devices },
    Scenario { name: "the same history by way of Redis, folder or both is the same", run: ways::three_ways },
    Scenario { name: "devices that share a relay with some only agree through the others", run: relays::partly_shared },
    Scenario { name: "a relay is taken out and another put in while mail is under way", run: relays::moved },
    Scenario {
        name: "a Redis put back to an older state brings nothing twice and loses nothing",
        run: relays::redis_put_back,
    },
    Scenario {
        name: "a folder put back to an older state brings nothing twice and loses nothing",
        run: relays::folder_put_back,
    },
    Scenario {
        name: "a Redis with another password is named, and used again with the new one",
        run: broken_server::wrong_password,
    },
    Scenario { name: "a Redis that lets us only read is named", run: broken_server::read_only_user },
    Scenario { name: "a Redis that evicts is warned of, and loses nothing for good", run: broken_server::evicting },
    Scenario { name: "a full Redis is named, and mail waits for room", run: broken_server::full },
    Scenario { name: "a Redis that comes back empty is filled again", run: broken_server::emptied },
    Scenario { name: "a Redis that answers after 10 s is named, and mail waits", run: broken_server::slow },
    Scenario { name: "a Redis whose connections are cut in the middle loses nothing", run: broken_server::cut },
    Scenario { name: "a Redis that still loads is waited for", run: broken_server::loading },
    Scenario { name: "every sync mode keeps its word and loses nothing", run: modes::all_modes },
    Scenario { name: "a relay test times every stage or says what is wrong", run: modes::relay_tests },
    Scenario { name: "a relay folder may go and come back", run: faults::unreachable_relay },
    Scenario { name: "garbage in a mailbox is set aside", run: faults::garbage },
    Scenario { name: "a relay folder that loses everything is filled again", run: faults::emptied_relay },
    Scenario {
        name: "an old copy of the state directory put back loses nothing and forks nothing",
        run: restored::put_back,
    },
    Scenario {
        name: "a device that was copied whole and runs twice is found out, and nothing of either copy is lost",
        run: copied::running_at_once,
    },
    Scenario {
        name: "a removed device hears nothing new and changes nothing, and the others go on",
        run: removal::revoked,
    },
    Scenario { name: "a termination signal ends the daemon cleanly", run: signals::clean_end },
    Scenario { name: "a second signal ends the daemon at once", run: signals::hard_end },
    Scenario { name: "kin down ends the daemon that kin up started", run: signals::up_and_down },
    Scenario { name: "a foreign gRPC client lists the services and posts", run: grpc::reflection },
    Scenario {
        name: "a watch goes on over kills and restarts, and neither skips nor repeats",
        run: clients::watched_over_kills,
    },
    Scenario {
        name: "a watch from now on tells of what comes after it, and goes on after an error",
        run: clients::watched_from_now_on,
    },
    Scenario {
        name: "an outbox that ended before its bundle was answered sends it again, and it counts once",
        run: clients::answer_lost,
    },
    Scenario { name: "an edit whose record has changed is resolved, or stays", run: clients::clashes },
    Scenario { name: "an app in a sandbox does what its token is good for", run: tokens::in_a_sandbox },
    Scenario { name: "the demo runs through", run: pairing::demo },
    Scenario { name: "commands in README and docs are understood", run: papers::commands },
    Scenario { name: "what the README says of Redis works as it stands there", run: papers::over_redis },
];

/// A scenario that takes longer hangs. The longest takes a small part of it on two slow cores.
const LIMIT: Duration = Duration::from_secs(180);
/// What a point of failure may take, beyond that: many times what it takes on two slow cores.
const A_POINT: Duration = Duration::from_secs(30);

/// What a minute of soaking may take, beyond that: as long again for coming to rest.
const A_MINUTE: Duration = Duration::from_secs(120);

/// How long a scenario may take; longer runs are asked for by the environment.
///
/// # Errors
/// When what the environment asks for is no number.
pub fn limit() -> Result<Duration, Failed> {
    let times = |name: &str| Ok::<_, Failed>(u32::try_from(number(name)?.unwrap_or(0)).unwrap_or(u32::MAX));
    let points = A_POINT.saturating_mul(times("POINTS")?);
    let minutes = A_MINUTE.saturating_mul(times("MINUTES")?);
    Ok(LIMIT.saturating_add(points).saturating_add(minutes))
}

/// Why a scenario does not hold.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// Something else was expected.
    #[error("expected {0}")]
    Expected(String),
    /// A command ended otherwise.
    #[error("{command} ended with {code}, wanted {wanted}\nstdout: {stdout}\nstderr: {stderr}")]
    Command {
        /// Which.
        command: String,
        /// The exit code it should have had.
        wanted: i32,
        /// The one it had; -1 when a signal ended it.
        code: i32,
        /// What it printed.
        stdout: String,
        /// What it complained about.
        stderr: String,
    },
    /// A server that the scenario needs does not serve.
    #[error(transparent)]
    Server(#[from] crate::servers::ServerError),
    /// What should be JSON is not.
    #[error("{source}: {text}")]
    Json {
        /// The text.
        text: String,
        /// Why.
        source: serde_json::Error,
    },
    /// The machine refused something.
    #[error("{doing}: {source}")]
    Io {
        /// What.
        doing: String,
        /// Why.
        source: io::Error,
    },
}

impl Failed {
    fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
}

/// Fails unless `holds`; `what` completes "expected …".
fn expect(holds: bool, what: impl FnOnce() -> String) -> Result<(), Failed> {
    if holds { Ok(()) } else { Err(Failed::Expected(what())) }
}

/// Fails unless both are the same.
fn same<T: PartialEq + std::fmt::Debug>(what: &str, got: T, wanted: T) -> Result<(), Failed> {
    expect(got == wanted, || format!("{what} to be {wanted:?}, got {got:?}"))
}

/// A number from the environment.
fn number(name: &str) -> Result<Option<usize>, Failed> {
    let Some(text) = env::var_os(name) else { return Ok(None) };
    let number = text.to_str().and_then(|text| text.parse().ok()).filter(|number| *number > 0);
    number.map(Some).ok_or_else(|| Failed::Expected(format!("{name} to be a number above 0")))
}
