//! Files that are not ours, and ours where others have been at them.

use super::*;

#[tokio::test]
async fn files_of_other_tools_are_neither_mail_nor_touched() {
    let bed = InFolder::new();
    let relay = bed.open().await;
    let letter = envelope(1, 100);
    relay.put(&[(mailbox(1), letter.clone())]).await.unwrap();
    let name = bed.names(1).remove(0);
    let bytes = fs::read(bed.mailbox(1).join(&name)).unwrap();
    let stem = name.strip_suffix(".mail").unwrap();
    let foreign = [
        format!("~syncthing~{name}.tmp"),
        format!(".syncthing.{name}.tmp"),
        format!("{stem}.sync-conflict-20260101-101010-ABCDEFG.mail"),
        format!("{stem} (Ada's conflicted copy 2026-01-01).mail"),
        ".DS_Store".to_owned(),
        "notes.txt".to_owned(),
    ];
    for name in &foreign {
        fs::write(bed.mailbox(1).join(name), &bytes).unwrap();
    }
    fs::write(bed.path().join("mail/stray"), "x").unwrap();
    fs::create_dir(bed.path().join("mail/zz")).unwrap();
    let fetched = fetch(&relay, mailbox(1)).await;
    assert_eq!((fetched.mail.len(), fetched.torn), (1, 0));
    bed.age(RETENTION * 2).await;
    assert_eq!(relay.sweep(&[]).await.unwrap().expired, 1);
    let mut expected = foreign.to_vec();
    expected.sort();
    assert_eq!(bed.names(1), expected);
    assert!(bed.path().join("mail/stray").exists() && bed.path().join("mail/zz").exists());
}

#[tokio::test]
async fn a_copy_is_torn_until_the_last_byte_has_arrived() {
    let bed = InFolder::new();
    let relay = bed.open().await;
    relay.put(&[(mailbox(1), envelope(1, 3000))]).await.unwrap();
    let path = bed.mailbox(1).join(bed.names(1).remove(0));
    let whole = fs::read(&path).unwrap();
    let mut after = None;
    for length in [0, 1, 63, 64, 1000, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        let want = Want { mailbox: mailbox(1), after };
        let answer = relay.fetch(&[want], 1).await.unwrap().remove(0);
        assert_eq!((answer.mail.len(), answer.torn, answer.more), (0, 1, false), "cut to {length}");
        after = answer.cursor;
    }
    fs::write(&path, &whole).unwrap();
    let want = Want { mailbox: mailbox(1), after };
    let answer = relay.fetch(&[want], 1).await.unwrap().remove(0);
    assert_eq!((answer.mail.len(), answer.torn), (1, 0));
    assert_eq!(answer.mail[0].envelope, envelope(1, 3000));
}

#[tokio::test]
async fn things_that_are_no_files_under_an_envelopes_name_are_torn() {
    let bed = InFolder::new();
    let relay = bed.open().await;
    relay.put(&[(mailbox(1), envelope(1, 100)), (mailbox(1), envelope(2, 100))]).await.unwrap();
    let names = bed.names(1);
    let path = bed.mailbox(1).join(&names[0]);
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let fetched = fetch(&relay, mailbox(1)).await;
    assert_eq!((fetched.mail.len(), fetched.torn), (1, 1));
    #[cfg(unix)]
    {
        fs::remove_dir(&path).unwrap();
        std::os::unix::fs::symlink(bed.mailbox(1).join(&names[1]), &path).unwrap();
        let fetched = fetch(&relay, mailbox(1)).await;
        assert_eq!((fetched.mail.len(), fetched.torn), (1, 1), "a link is not followed");
        fs::remove_file(&path).unwrap();
        let made = Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        let fetched = fetch(&relay, mailbox(1)).await;
        assert_eq!((fetched.mail.len(), fetched.torn), (1, 1), "a pipe does not hang its reader");
    }
}

#[tokio::test]
async fn a_file_in_place_of_a_mailbox_is_named() {
    let bed = InFolder::new();
    let relay = bed.open().await;
    relay.inner.root.make_mailbox(mailbox(1)).unwrap();
    fs::remove_dir(bed.mailbox(1)).unwrap();
    fs::write(bed.mailbox(1), "").unwrap();
    let errors = [
        relay.fetch(&[Want::all(mailbox(1))], 1).await.unwrap_err(),
        relay.put(&[(mailbox(1), envelope(1, 10))]).await.unwrap_err(),
    ];
    for error in errors {
        let is_named = matches!(&error, RelayError::Config(ConfigError::NotADirectory { .. }));
        assert!(is_named && error.to_string().contains(bed.mailbox(1).to_str().unwrap()), "{error:?}");
    }
}

#[tokio::test]
async fn envelopes_of_a_relay_copied_to_another_mailbox_are_not_returned() {
    let bed = InFolder::new();
    let relay = bed.open().await;
    relay.put(&[(mailbox(1), envelope(1, 100)), (mailbox(2), envelope(2, 100))]).await.unwrap();
    let name = bed.names(1).remove(0);
    fs::copy(bed.mailbox(1).join(&name), bed.mailbox(2).join(&name)).unwrap();
    let fetched = fetch(&relay, mailbox(2)).await;
    assert_eq!((fetched.mail.len(), fetched.torn), (1, 1));
    assert_eq!(fetched.mail[0].envelope, envelope(2, 100));
}
