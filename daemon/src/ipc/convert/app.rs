//! Apps and their grants.

use ipc_proto::v1;

use crate::apps::{App, Grant, Quota, Scope};

/// A grant as it was asked for; none is one that covers nothing.
pub(in crate::ipc) fn read_grant(grant: Option<v1::Grant>) -> Result<Grant, &'static str> {
    let v1::Grant { prefixes, scope } = grant.unwrap_or_default();
    let scope = match v1::Scope::try_from(scope) {
        Ok(v1::Scope::Unspecified | v1::Scope::Read) => Scope::Read,
        Ok(v1::Scope::Write) => Scope::Write,
        Err(_) => return Err("a scope is read or write"),
    };
    Ok(Grant { prefixes, scope })
}

/// A quota as it was asked for; what is not said is as usual.
pub(in crate::ipc) fn read_quota(quota: Option<v1::Quota>) -> Quota {
    let v1::Quota { bytes, items } = quota.unwrap_or_default();
    let usual = Quota::default();
    let said = |number: u64, usual| if number == 0 { usual } else { number };
    Quota { bytes: said(bytes, usual.bytes), items: said(items, usual.items) }
}

/// An app, without its token.
pub(in crate::ipc) fn show(app: &App) -> v1::App {
    v1::App {
        name: app.name.clone(),
        collections: Some(show_grant(&app.collections)),
        conversations: Some(show_grant(&app.conversations)),
        created_at_ms: app.created.0,
        last_used_ms: app.last_used().map(|used| used.0),
        quota: Some(v1::Quota { bytes: app.quota.bytes, items: app.quota.items }),
    }
}

fn show_grant(grant: &Grant) -> v1::Grant {
    let scope = match grant.scope {
        Scope::Read => v1::Scope::Read,
        Scope::Write => v1::Scope::Write,
    };
    v1::Grant { prefixes: grant.prefixes.clone(), scope: scope.into() }
}
