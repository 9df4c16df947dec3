use super::*;

fn places(home: &Path) -> Places {
    Places { config: home.join("config"), state: home.join("state") }
}

fn found(places: &Places) -> Opened {
    let mut rng = rand::rng();
    places.found(Fresh::generate("laptop", &mut rng).unwrap(), &mut rng).unwrap()
}

#[test]
fn a_device_is_found_again_with_the_same_keys() {
    let home = tempfile::tempdir().unwrap();
    let places = places(home.path());
    assert!(matches!(places.open().unwrap(), Found::Nothing));
    let first = found(&places);
    let (me, key) = (first.credentials.me, first.credentials.identity.public());
    drop(first);
    let Found::Device(again) = places.open().unwrap() else { panic!("the device is gone") };
    assert_eq!((again.credentials.me, again.credentials.identity.public()), (me, key));
}

#[test]
fn a_second_set_up_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let places = places(home.path());
    drop(found(&places));
    let mut rng = rand::rng();
    let again = places.found(Fresh::generate("other", &mut rng).unwrap(), &mut rng);
    assert!(matches!(again, Err(SetupError::AlreadySetUp)));
}

#[test]
fn a_set_up_interrupted_before_the_key_begins_again() {
    let home = tempfile::tempdir().unwrap();
    let places = places(home.path());
    fs::create_dir_all(places.unfinished()).unwrap();
    fs::write(places.unfinished().join("store.key"), b"half").unwrap();
    assert!(matches!(places.open().unwrap(), Found::Nothing));
    drop(found(&places));
}

#[test]
fn a_set_up_interrupted_after_the_key_is_finished() {
    let home = tempfile::tempdir().unwrap();
    let places = places(home.path());
    let me = found(&places).credentials.me;
    fs::rename(places.store(), places.unfinished()).unwrap();
    let Found::Device(again) = places.open().unwrap() else { panic!("the device is gone") };
    assert_eq!(again.credentials.me, me);
}

#[test]
fn a_key_whose_store_is_gone_is_locked_and_nothing_is_made_anew() {
    let home = tempfile::tempdir().unwrap();
    let places = places(home.path());
    drop(found(&places));
    fs::rename(places.store(), home.path().join("unmounted")).unwrap();
    let mut rng = rand::rng();
    let again = places.found(Fresh::generate("laptop", &mut rng).unwrap(), &mut rng);
    assert!(matches!(&again, Err(error @ SetupError::StoreGone { .. }) if error.is_locked()));
    assert!(!places.store().exists() && !places.unfinished().exists());
}

#[test]
fn a_store_whose_key_is_gone_is_locked() {
    let home = tempfile::tempdir().unwrap();
    let places = places(home.path());
    drop(found(&places));
    fs::remove_file(places.provider().path()).unwrap();
    assert!(places.open().unwrap_err().is_locked());
}

#[test]
fn a_name_that_does_not_fit_is_refused() {
    let too_long = "x".repeat(65);
    for name in ["", "a\nb", too_long.as_str()] {
        assert!(matches!(Fresh::generate(name, &mut rand::rng()), Err(SetupError::Name)));
    }
}

#[test]
fn the_keys_of_an_earlier_version_move_to_where_epochs_and_prekeys_are_kept() {
    let home = tempfile::tempdir().unwrap();
    let places = places(home.path());
    let Opened { store, kek, credentials, .. } = found(&places);
    let group = credentials.keyring().groups[0].clone();
    let seed = credentials.keyring().prekeys[0].seed();
    store.meddle("DELETE FROM epoch; UPDATE prekey SET seed = x'', made = 0");
    keep(&store, &kek, "group", &encode_group(&group), &mut rand::rng()).unwrap();
    keep(&store, &kek, "prekey", seed.as_slice(), &mut rand::rng()).unwrap();
    drop(store);
    for _ in 0..2 {
        let Found::Device(again) = places.open().unwrap() else { panic!("the device is gone") };
        assert_eq!(again.credentials.keyring().mailboxes(), credentials.keyring().mailboxes());
        assert_eq!((again.store.secret("group").unwrap(), again.store.secret("prekey").unwrap()), (None, None));
        assert_eq!(again.credentials.keyring().prekeys[0].seed(), seed);
    }
}

#[test]
fn a_group_survives_its_bytes() {
    let group = GroupSecret::generate(3, &mut rand::rng());
    let again = decode_group(&encode_group(&group)).unwrap();
    assert_eq!((again.id(), *again.secret()), (group.id(), *group.secret()));
    assert!(decode_group(&[0; 51]).is_none());
}
