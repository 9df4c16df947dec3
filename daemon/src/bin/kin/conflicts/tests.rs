//! What people and scripts see of conflicts.

use super::*;
use ipc_proto::v1::Record;

fn written(text: Option<&str>, device: &str, mine: bool) -> ConflictVersion {
    ConflictVersion {
        value: text.map(|text| typed::from_argument(&format!("f={text}")).unwrap().1),
        exists: text.is_some(),
        device_id: device.repeat(16),
        source_id: "5e".repeat(16),
        seq: 3,
        written_at_ms: 1_700_000_000_000,
        mine,
        shown: mine,
    }
}

fn sample() -> Conflict {
    let title = ConflictField {
        field: "title".into(),
        existence: false,
        versions: vec![written(Some("oat milk"), "0d", true), written(Some("soy milk"), "7a", false)],
        base: Some(written(Some("milk"), "7a", false)),
    };
    let existence = ConflictField {
        existence: true,
        versions: vec![ConflictVersion { value: None, ..written(Some("x"), "0d", true) }, written(None, "7a", false)],
        ..ConflictField::default()
    };
    let fields = ["title=oat milk", "due=today"].map(|field| typed::from_argument(field).unwrap());
    Conflict {
        collection: "todo".into(),
        key: "milk".into(),
        row_version: 9,
        current: Some(Record { row_version: 9, fields: fields.into(), ..Record::default() }),
        fields: vec![existence, title],
    }
}

#[test]
fn a_conflict_has_every_name_that_scripts_rely_on() {
    let one = Conflict { current: None, fields: sample().fields.split_off(1), ..sample() };
    insta::assert_snapshot!(format!("{:#}", shown(&one)), @r#"
    {
      "collection": "todo",
      "key": "milk",
      "row_version": 9,
      "current": null,
      "fields": [
        {
          "field": "title",
          "existence": false,
          "versions": [
            {
              "value": "oat milk",
              "exists": true,
              "device": "0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d",
              "source": "5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e",
              "seq": 3,
              "written_at": "2023-11-14T22:13:20Z",
              "mine": true,
              "shown": true
            },
            {
              "value": "soy milk",
              "exists": true,
              "device": "7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a",
              "source": "5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e",
              "seq": 3,
              "written_at": "2023-11-14T22:13:20Z",
              "mine": false,
              "shown": false
            }
          ],
          "base": {
            "value": "milk",
            "exists": true,
            "device": "7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a",
            "source": "5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e",
            "seq": 3,
            "written_at": "2023-11-14T22:13:20Z",
            "mine": false,
            "shown": false
          }
        }
      ]
    }
    "#);
}

#[test]
fn people_see_who_wrote_what_and_what_it_was_before() {
    insta::assert_snapshot!(words(&sample(), 1_700_000_060_000, Style::PLAIN), @r"
    (the record)  this device  edited    60 s ago  shown
    (the record)  7a7a7a7a     deleted   60 s ago
    title         this device  oat milk  60 s ago  shown
    title         7a7a7a7a     soy milk  60 s ago
    title         before       milk      60 s ago
    ");
    assert_eq!(list(&[sample()], Style::PLAIN), "todo milk  edited and deleted, title\n");
    assert_eq!(list(&[], Style::PLAIN), "nothing is in conflict\n");
}

#[test]
fn a_merged_record_keeps_what_nobody_disagrees_about() {
    let set = BTreeMap::from([typed::from_argument("title=both").unwrap()]);
    let whole = merged(&sample(), set.clone(), vec![]);
    assert_eq!(whole.fields.keys().collect::<Vec<_>>(), ["due", "title"]);
    let cleared = merged(&sample(), set, vec!["due".into()]);
    assert_eq!((cleared.fields.len(), cleared.clear_fields.len()), (1, 1));
    assert!(!merged(&sample(), BTreeMap::new(), vec![]).fields.contains_key("title"), "that must be said");
}
