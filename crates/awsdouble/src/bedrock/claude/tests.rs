use serde_json::json;

use super::*;

#[test]
fn recognises_images_by_their_first_bytes() {
    let png = "iVBORw0KGgoAAAANSUhEUg==";
    assert!(image_label("image/png", png, "p").is_ok());
    let error = image_label("image/jpeg", png, "p").expect_err("a wrong label");
    assert!(
        error.contains("specified using the image/jpeg media type"),
        "{error}"
    );
    // Unknown bytes are not compared.
    assert!(image_label("image/jpeg", "AAAA", "p").is_ok());
}

#[test]
fn lifetimes_do_not_grow() {
    let points = |lifetimes: &[Option<&'static str>]| {
        lifetimes
            .iter()
            .enumerate()
            .map(|(index, ttl)| (format!("tools.{index}"), *ttl))
            .collect::<Vec<_>>()
    };
    assert!(lifetimes(points(&[Some("1h"), Some("1h"), Some("5m"), None])).is_ok());
    for short in [Some("5m"), None] {
        let error = super::lifetimes(points(&[short, Some("1h")])).expect_err("a longer one");
        assert!(
            error.starts_with("tools.1.cache_control.ttl: a ttl='1h'"),
            "{error}"
        );
    }
}

#[test]
fn limits_are_named_by_type_also_in_lists_of_types() {
    let rules = Rules {
        anthropic: true,
        ..Rules::default()
    };
    let check = |schema: Value| {
        schema::exact(&schema, "s", &rules)
            .err()
            .unwrap_or_default()
    };
    assert_eq!(
        check(json!({"type": "integer", "minimum": 1, "maximum": 5})),
        "s: For 'integer' type, properties maximum, minimum are not supported"
    );
    assert_eq!(
        check(json!({"type": ["number", "null"], "multipleOf": 2})),
        "s: For 'number' type, property 'multipleOf' is not supported"
    );
    let nested = json!({"anyOf": [{"type": "array", "items": {"type": "string"}, "maxItems": 3}]});
    assert_eq!(
        check(nested),
        "s: For 'array' type, property 'maxItems' is not supported"
    );
    assert!(check(json!({"type": "array", "minItems": 2})).contains("other than 0 or 1"));
    // Recorded as accepted.
    assert_eq!(check(json!({"type": "string", "minLength": 1})), "");
    assert_eq!(check(json!({"type": "array", "minItems": 1})), "");
}
