//! `kin init`: the first device of a person.

use ipc_proto::v1::{InitRequest, InitResponse, KeyStore};
use serde_json::json;

use crate::context::Context;
use crate::daemon;
use crate::failure::Failure;
use crate::output::Style;
use crate::place::named;
use crate::view;

/// Make this your first device
///
/// Makes its identity and its key store, and starts the daemon if it is not running. On every further device use `kin
/// join` instead.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kin init
  kin init --name laptop --relay file:///media/nas/kinfolk
  kin init --name laptop --relay - < url-with-password")]
pub(crate) struct Init {
    /// What you call this device [default: the host name]
    #[arg(long)]
    name: Option<String>,
    /// Storage that your other devices reach too, or - for a URL on stdin; may be given more than once
    #[arg(long, value_name = "URL")]
    relay: Vec<String>,
    /// What protects the keys of this device
    #[arg(long, value_enum, default_value_t = KeyStoreChoice::Auto)]
    keystore: KeyStoreChoice,
}

/// Where keys are kept.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum KeyStoreChoice {
    /// The best that this machine offers
    Auto,
    /// A file that only you can read
    File,
}

impl From<KeyStoreChoice> for KeyStore {
    fn from(choice: KeyStoreChoice) -> Self {
        match choice {
            KeyStoreChoice::Auto => Self::Unspecified,
            KeyStoreChoice::File => Self::File,
        }
    }
}

impl Init {
    pub(crate) async fn execute(self, context: &Context) -> Result<(), Failure> {
        let relay_urls = self.relay.iter().map(|url| named(url)).collect::<Result<_, _>>()?;
        let (client, _) = daemon::start(&context.paths).await?;
        let request = InitRequest {
            device_name: self.name.unwrap_or_default(),
            relay_urls,
            key_store: KeyStore::from(self.keystore).into(),
        };
        let answer = client.admin().init(request).await?.into_inner();
        let object = json!({
            "device": answer.device.as_ref().map(view::device),
            "keys": answer.keys.as_ref().map(view::keys),
            "relays": answer.relays.iter().map(view::relay).collect::<Vec<_>>(),
        });
        context.output.show("init", object, |style| words(&answer, style))
    }
}

fn words(answer: &InitResponse, style: Style) -> String {
    let device = answer.device.clone().unwrap_or_default();
    let keys = answer.keys.clone().unwrap_or_default();
    let mut out =
        format!("{} is your first device {}\n", style.strong(&device.name), style.dim(&format!("({})", device.id)));
    for relay in &answer.relays {
        out.push_str(&format!("relay: {}\n", relay.url));
    }
    out.push_str(&format!(
        "\n{}\n  Its keys exist on this device only ({}: {}).\n  As long as it is your only device, losing it or its \
         keys means losing everything:\n  nobody can restore them, and no relay can read what it holds.\n  A second \
         device is the remedy.\n\n",
        style.bad("Read this."),
        keys.provider,
        keys.description,
    ));
    out.push_str(if answer.relays.is_empty() {
        "Next: `kin relay add URL` names storage that your devices share; then `kin pair show` invites the second one.\n"
    } else {
        "Next: `kin pair show` invites the second device.\n"
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipc_proto::v1::{Device, KeyProtection, Relay};

    #[test]
    fn init_says_loudly_what_losing_keys_means() {
        let answer = InitResponse {
            device: Some(Device { id: "0a".repeat(16), name: "laptop".into(), ..Device::default() }),
            keys: Some(KeyProtection {
                provider: "file".into(),
                description: "protected only by file permissions".into(),
            }),
            relays: vec![Relay { url: "file:///media/nas".into(), ..Relay::default() }],
        };
        insta::assert_snapshot!(words(&answer, Style::PLAIN));
    }
}
