//! Cursors of apps, over kills and over a device that is put back.

use std::fs;
use std::time::Duration;

use ipc_proto::Client;
use ipc_proto::v1::{AckRequest, ErrorCode, PullRequest};
use ipc_proto::watch::Watched;
use rustix::process::Signal;
use tokio::runtime::{Builder, Runtime};

use super::device::Device;
use super::image::copy;
use super::kill::window::connect;
use super::world::World;
use super::{Failed, Programs, expect, same};

/// Generous: it only turns a hang into a failure.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn acknowledged_over_kills(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let mut a = world.first("a")?;
    let runtime = runtime()?;
    for number in 1..=6 {
        a.ok(&["put", "notes", &number.to_string(), "n=1"])?;
    }
    let app = App { runtime: &runtime };
    same("acknowledged", app.ack(&a, 3)?, 3)?;
    // A daemon that ends in peace writes cursors down; what is written down outlives a kill.
    a.signal(Signal::TERM)?;
    a.ended()?;
    a.start()?;
    a.signal(Signal::KILL)?;
    a.ended()?;
    a.start()?;
    same("the next bundle", app.next(&a)?, 4)?;
    // Killed before the cursor was written down, the app may be told again what it has dealt with, and misses nothing.
    same("acknowledged", app.ack(&a, 5)?, 5)?;
    a.signal(Signal::KILL)?;
    a.ended()?;
    a.start()?;
    let next = app.next(&a)?;
    expect((4..=6).contains(&next), || format!("to go on at 4, 5 or 6, not at {next}"))?;
    same("acknowledged again", app.ack(&a, 5)?, 5)?;
    same("the next bundle", app.next(&a)?, 6)
}

pub(super) fn of_another_order(programs: &Programs) -> Result<(), Failed> {
    let world = World::new(programs)?;
    let mut a = world.first("a")?;
    a.ok(&["put", "notes", "before", "n=1"])?;
    a.stop()?;
    let (state, image) = (a.home.join("state"), world.path("image"));
    copy(&state, &image)?;
    a.start()?;
    a.ok(&["put", "notes", "lost", "n=1"])?;
    let runtime = runtime()?;
    let (cursor, order) = runtime.block_on(async {
        let watched = Watched::Records(Vec::new());
        let mut watch =
            connect(&a).await?.watch(watched, Some(0), Some(PATIENCE)).await.map_err(|error| failed(&error))?;
        watch.next().await.map_err(|error| failed(&error))?;
        watch.next().await.map_err(|error| failed(&error))?;
        Ok::<_, Failed>((watch.cursor(), watch.order().to_owned()))
    })?;
    same("the cursor", cursor, 2)?;
    a.stop()?;
    fs::remove_dir_all(&state).map_err(Failed::io("removing the state"))?;
    copy(&image, &state)?;
    a.start()?;
    // Its place is there again, with another bundle in it.
    a.ok(&["put", "notes", "other", "n=1"])?;
    let resumed = runtime.block_on(async {
        let client = connect(&a).await?;
        let watch = client.watch(Watched::Records(Vec::new()), Some(cursor), Some(Duration::ZERO)).await;
        Ok::<_, Failed>(watch.map_err(|error| failed(&error))?.in_order(order).next().await)
    })?;
    expect(resumed.as_ref().is_err_and(|error| error.error_code() == ErrorCode::ResyncRequired), || {
        format!("to be told to read anew, not {resumed:?}")
    })
}

struct App<'r> {
    runtime: &'r Runtime,
}

impl App<'_> {
    fn ack(&self, device: &Device, upto: u64) -> Result<u64, Failed> {
        let request = AckRequest { consumer: "app".into(), bundle_seq: upto, ..AckRequest::default() };
        self.call(device, |client| async move { Ok(client.records().ack(request).await?.into_inner().bundle_seq) })
    }

    /// The first bundle that it is told of.
    fn next(&self, device: &Device) -> Result<u64, Failed> {
        let request = PullRequest { consumer: "app".into(), ..PullRequest::default() };
        self.call(device, |client| async move {
            let page = client.records().pull(request).await?.into_inner();
            Ok(page.bundles.first().map_or(0, |bundle| bundle.bundle_seq))
        })
    }

    fn call<T, F: Future<Output = Result<T, ipc_proto::Error>>>(
        &self,
        device: &Device,
        call: impl FnOnce(Client) -> F,
    ) -> Result<T, Failed> {
        self.runtime.block_on(async { call(connect(device).await?).await.map_err(|error| failed(&error)) })
    }
}

fn runtime() -> Result<Runtime, Failed> {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().map_err(Failed::io("starting a runtime"))
}

fn failed(error: &ipc_proto::Error) -> Failed {
    Failed::Expected(format!("the call to succeed: {error}"))
}
