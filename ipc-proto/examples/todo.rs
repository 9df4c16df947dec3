//! A todo list that is the same on all of your devices: `cargo run -p ipc-proto --example todo -- FILE`. FILE keeps what was edited and not pushed yet.
//! Commands, one a line: `list`, `add TEXT`, `name N TEXT`, `done N`, `rm N`, `sync` (pushes what waits), `wait` (for another device), `quit`.
//!
//! The daemon keeps the list and exchanges it with your other devices. What this program adds is in `Outbox`: an edit is on disk before the daemon is asked,
//! and says which version of its item you saw. Nothing is lost when the daemon is away, and when somebody changed the item meanwhile you are asked.

use std::error::Error;
use std::io::{self, Write as _};
use std::time::SystemTime;

use ipc_proto::outbox::{Clash, FileShelf, Outbox, Resolution, Write};
use ipc_proto::v1::{DeleteRecord, ListRequest, PutRecord, Record, Value, value::Kind};
use ipc_proto::watch::{Watch, Watched};
use ipc_proto::{Client, Connect};

const LIST: &str = "todo";
type Done = Result<(), Box<dyn Error>>;

struct App {
    outbox: Outbox<FileShelf>,
    /// The connection, which outlives the daemon's restarts, and the changes that come over it.
    daemon: Option<(Client, Watch)>,
    kept: Vec<Record>,
    shown: Vec<Record>,
}

impl App {
    async fn daemon(&mut self) -> Result<&mut (Client, Watch), Box<dyn Error>> {
        if self.daemon.is_none() {
            let client = Client::connect(&Connect::of_environment("todo/1.0")?).await?;
            let watch = client.watch(Watched::Records(vec![LIST.into()]), None, None).await?;
            self.daemon = Some((client, watch));
        }
        self.daemon.as_mut().ok_or_else(|| "no daemon".into())
    }

    async fn list(&mut self) -> Done {
        match self.fetch().await {
            Ok(records) => self.kept = records,
            Err(error) => println!("as it was last seen: {error}"),
        }
        self.shown = self.outbox.over(LIST, self.kept.clone());
        for (number, item) in (1..).zip(&self.shown) {
            let waits = self.outbox.edits().iter().any(|edit| edit.write.name() == (LIST, &item.key));
            println!("{number}. {}{}", text(Some(item)), if waits { "  (not pushed yet)" } else { "" });
        }
        Ok(())
    }

    async fn fetch(&mut self) -> Result<Vec<Record>, Box<dyn Error>> {
        let mut records = self.daemon().await?.0.records();
        let mut request = ListRequest { collection: LIST.into(), ..ListRequest::default() };
        let mut all = Vec::new();
        loop {
            let page = records.list(request.clone()).await.map_err(ipc_proto::Error::from)?.into_inner();
            all.extend(page.records);
            if page.next_page_token.is_empty() {
                return Ok(all);
            }
            request.page_token = page.next_page_token;
        }
    }

    async fn edit(&mut self, item: Option<Record>, fields: &[(&str, Kind)]) -> Done {
        // Keys in the order in which items were made, and never the same on two devices.
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_nanos();
        let key = item.as_ref().map_or_else(|| format!("{now:020}-{}", uuid::Uuid::new_v4()), |item| item.key.clone());
        let value = |(name, kind): &(&str, Kind)| ((*name).to_owned(), Value { kind: Some(kind.clone()) });
        let (collection, fields) = (LIST.into(), fields.iter().map(value).collect());
        self.keep(PutRecord { collection, key, fields, base_row_version: Some(0), ..PutRecord::default() }, item).await
    }

    async fn keep(&mut self, write: impl Into<Write>, item: Option<Record>) -> Done {
        self.outbox.keep(write, item.as_ref())?;
        self.sync().await
    }

    async fn sync(&mut self) -> Done {
        if let Err(error) = self.push().await {
            println!("kept for later: {error}");
        }
        Ok(())
    }

    async fn push(&mut self) -> Done {
        let client = self.daemon().await?.0.clone();
        self.outbox.flush(&client, resolve).await.map(drop).map_err(Into::into)
    }

    async fn wait(&mut self) -> Done {
        let (client, watch) = self.daemon().await?;
        while watch.next().await?.device_id == client.info().device_id {}
        self.list().await
    }

    async fn command(&mut self, line: &str) -> Done {
        let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
        let (number, title) = rest.split_once(' ').unwrap_or((rest, ""));
        let item = number.parse().ok().and_then(|number: usize| self.shown.get(number.checked_sub(1)?).cloned());
        match (command, item) {
            ("list", _) => self.list().await,
            ("sync", _) => self.sync().await,
            ("wait", _) => self.wait().await,
            ("add", _) => self.edit(None, &[("title", Kind::String(rest.into())), ("done", Kind::Bool(false))]).await,
            ("name", Some(item)) => self.edit(Some(item), &[("title", Kind::String(title.into()))]).await,
            ("done", Some(item)) => self.edit(Some(item), &[("done", Kind::Bool(true))]).await,
            ("rm", Some(item)) => {
                let (collection, key) = (LIST.into(), item.key.clone());
                self.keep(DeleteRecord { collection, key, base_row_version: None }, Some(item)).await
            }
            _ => Err("that is no command, or no item of the list; see the top of this program".into()),
        }
    }
}

/// Asks what is to become of an edit whose item was changed by another device meanwhile.
fn resolve(clash: Clash<'_>) -> Option<Resolution> {
    let (seen, mine) = (text(clash.mine.seen.as_ref()), text(clash.mine.over(clash.theirs.cloned()).as_ref()));
    if clash.theirs.is_none() {
        println!("{seen} was deleted elsewhere: your edit of it is dropped");
        return Some(Resolution::Theirs);
    }
    println!("you saw {seen}\ntheirs: {}\nmine:   {mine}", text(clash.theirs));
    Some(if ask("mine or theirs? > ").ok()?? == "mine" { Resolution::Mine } else { Resolution::Theirs })
}

fn text(item: Option<&Record>) -> String {
    let Some(item) = item else { return "nothing".into() };
    let field = |name: &str| item.fields.get(name).and_then(|value| value.kind.clone());
    let title = if let Some(Kind::String(title)) = field("title") { title } else { String::new() };
    format!("[{}] {title}", if field("done") == Some(Kind::Bool(true)) { 'x' } else { ' ' })
}

fn ask(prompt: &str) -> io::Result<Option<String>> {
    print!("{prompt}");
    io::stdout().flush()?;
    io::stdin().lines().next().transpose()
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Done {
    let file = std::env::args_os().nth(1).ok_or("name a file for what is not pushed yet")?;
    let outbox = Outbox::open(FileShelf::open(file.as_ref())?)?;
    let mut app = App { outbox, daemon: None, kept: Vec::new(), shown: Vec::new() };
    while let Some(line) = ask("> ")?.filter(|line| line != "quit") {
        app.command(&line).await.unwrap_or_else(|error| println!("{error}"));
    }
    Ok(())
}
