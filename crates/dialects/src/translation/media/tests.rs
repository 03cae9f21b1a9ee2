//! Tests of media without a request.

use super::*;

#[test]
fn document_names_are_valid_and_unique() {
    let mut taken = Vec::new();
    for (given, expected) in [
        (Some("report.pdf"), "report"),
        (Some("report.pdf"), "report (2)"),
        (Some("report.docx"), "report (3)"),
        (
            Some("a/b\\Q3  results_v1.2 (final).xlsx"),
            "Q3 results_v1-2 (final)",
        ),
        (Some("日本語.pdf"), "document"),
        (Some(""), "document (2)"),
        (None, "document (3)"),
        (Some(".bashrc"), "-bashrc"),
    ] {
        let name = unique_name(given, &taken);
        assert_eq!(name, expected, "{given:?}");
        taken.push(NamedDocument {
            upstream: name,
            client: None,
        });
    }
    let long = unique_name(Some(&"x".repeat(500)), &[]);
    assert!(long.len() <= 200);
}

#[test]
fn only_nonstandard_base64_is_converted() {
    for (given, expected) in [
        ("aGVsbG8=", Some("aGVsbG8=")),
        ("aGVsbG8", Some("aGVsbG8=")),
        ("aGVs\nbG8=", Some("aGVsbG8=")),
        ("-_8=", Some("+/8=")),
        ("aGVsbG9=", Some("aGVsbG8=")),
        ("not base64!", None),
        ("", Some("")),
    ] {
        let standard = base64::standard(Cow::Borrowed(given));
        assert_eq!(standard.as_deref(), expected, "{given:?}");
    }
    let same = base64::standard(Cow::Borrowed("aGVsbG8="));
    assert!(matches!(same, Some(Cow::Borrowed(_))));
    assert_eq!(base64::decoded_len("aGVsbG8="), 5);
    assert_eq!(base64::decoded_len("aGVsbA=="), 4);
}

#[test]
fn parses_data_uris() {
    assert_eq!(
        data_uri("data:image/PNG;charset=x;base64,AAAA"),
        Some(("image/png".to_owned(), 32))
    );
    assert_eq!(data_uri("DATA:;base64,AAAA"), Some((String::new(), 13)));
    assert_eq!(data_uri("data:text/plain,hello"), None);
    assert_eq!(data_uri("https://x/,"), None);
}
