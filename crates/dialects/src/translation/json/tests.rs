//! Tests of the tree, of whole bodies.

use super::*;

#[test]
fn a_body_with_too_many_values_is_rejected() {
    let most = usize::try_from(MAX_VALUES).unwrap();
    // The object and the list count, too.
    let body = |items: usize| format!(r#"{{"a":[{}1]}}"#, "1,".repeat(items - 1));
    assert!(Object::from_body(body(most - 2).as_bytes()).is_ok());
    let error = Object::from_body(body(most - 1).as_bytes()).unwrap_err();
    assert!(
        error.message.contains("more than 1000000 values"),
        "{}",
        error.message
    );
    assert_eq!(error.code, "invalid_json");
}

#[test]
fn strings_without_escapes_are_borrowed_and_schemas_stay_raw() {
    let body = r#"{"a":"plain","b":"esc\naped","parameters":{ "z": 1.0, "a": 123456789012345678901234567890 }}"#;
    let json: Json<'_> = serde_json::from_str(body).unwrap();
    let mut object = json.object(&FieldPath::Root).unwrap();
    assert!(matches!(
        object.string("a", &FieldPath::Root),
        Ok(Some(Cow::Borrowed("plain")))
    ));
    assert!(matches!(
        object.string("b", &FieldPath::Root),
        Ok(Some(Cow::Owned(_)))
    ));
    let Some(Json::Raw(raw)) = object.take("parameters") else {
        panic!("parameters should be raw")
    };
    assert_eq!(
        raw.get(),
        r#"{ "z": 1.0, "a": 123456789012345678901234567890 }"#
    );
    assert_eq!(object.rest().count(), 0);
}

#[test]
fn paths_use_dots_and_brackets() {
    let (messages, parts) = (FieldPath::Root.key("messages").to_string(), 3);
    let root = FieldPath::Root;
    let at = root.key("messages");
    let at = at.index(2);
    let at = at.key("content");
    assert_eq!(messages, "messages");
    assert_eq!(at.index(parts).to_string(), "messages[2].content[3]");
}

#[test]
fn the_last_of_two_equal_members_counts() {
    let json: Json<'_> = serde_json::from_str(r#"{"a":1,"a":2}"#).unwrap();
    let value = json.object(&FieldPath::Root).unwrap().take("a").unwrap();
    assert_eq!(value.whole(&FieldPath::Root).unwrap(), 2);
}

#[test]
fn whole_numbers_may_have_a_decimal_point() {
    for (text, expected) in [
        ("5", Some(5)),
        ("5.0", Some(5)),
        ("5.5", None),
        ("-1", None),
        ("1e3", Some(1000)),
    ] {
        let json: Json<'_> = serde_json::from_str(text).unwrap();
        assert_eq!(json.whole(&FieldPath::Root).ok(), expected, "{text}");
    }
}
