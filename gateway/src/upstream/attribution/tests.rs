use api::config::AccessReference;

use super::{super::words::Words, *};

/// As for a request.
fn mark<C>(prepared: &mut Prepared<C>, origin: &Origin<'_>) -> Result<()> {
    let words = Words::of(prepared.body.pieces());
    super::mark(prepared, words.attribution, origin)
}

const NOTHING: Origin<'_> = Origin {
    attribution: None,
    project: None,
    caller: "key:ci",
    request_id: "r-1",
};
/// The gateway's metadata of a request.
const OWN: &str =
    r#""namespace":"team-a","bedrockAccess":"chat","caller":"key:ci","requestId":"r-1""#;

fn attribution() -> Attribution {
    let config = GatewayConfig {
        access: Some(AccessReference {
            namespace: "team-a".to_owned(),
            name: "chat".to_owned(),
        }),
        ..GatewayConfig::default()
    };
    Attribution::new(&config).unwrap()
}

#[track_caller]
fn sent(operation: Operation, body: &str) -> Prepared<()> {
    let own = attribution();
    let origin = Origin {
        attribution: Some(&own),
        project: Some("proj_1"),
        ..NOTHING
    };
    let mut prepared = Prepared::new(operation, body.as_bytes().to_vec(), ());
    mark(&mut prepared, &origin).unwrap();
    prepared
}

#[test]
fn the_gateway_adds_its_own_metadata_and_project_and_keeps_all_other_bytes() {
    for (body, expected) in [
        (
            r#" { "messages": [1.50] }"#,
            format!(
                r#" {{"projectIdentifier":"proj_1","requestMetadata":{{{OWN}}}, "messages": [1.50] }}"#
            ),
        ),
        (
            "{}",
            format!(r#"{{"projectIdentifier":"proj_1","requestMetadata":{{{OWN}}}}}"#),
        ),
        (
            r#"{"projectIdentifier":"other","a":1,"requestMetadata":{"caller":"x","namespace":"y"}}"#,
            format!(
                r#"{{"projectIdentifier":"proj_1","a":1,"requestMetadata":{{{OWN},"client":"caller=x,namespace=y"}}}}"#
            ),
        ),
        (
            r#"{"requestMetadata":null,"a":1}"#,
            format!(r#"{{"projectIdentifier":"proj_1","requestMetadata":{{{OWN}}},"a":1}}"#),
        ),
        // What follows the object is not part of it.
        (
            r#"{"a":1} {"b":2}"#,
            format!(
                r#"{{"projectIdentifier":"proj_1","requestMetadata":{{{OWN}}},"a":1}} {{"b":2}}"#
            ),
        ),
        ("[1]", "[1]".to_owned()),
        ("", String::new()),
    ] {
        assert_eq!(
            *sent(Operation::Converse, body).body.whole(),
            expected,
            "{body}"
        );
        assert_eq!(*sent(Operation::CountTokens, body).body.whole(), body);
    }
    let mut invoke = sent(Operation::InvokeModel, r#"{"a":1}"#);
    assert_eq!(*invoke.body.whole(), r#"{"a":1}"#);
    assert_eq!(invoke.headers[&METADATA_HEADER], format!("{{{OWN}}}"));
    assert_eq!(invoke.headers[&PROJECT_HEADER], "proj_1");
    let anthropic = Operation::Passthrough {
        api: bedrock::apis::BedrockApi::Mantle,
        protocol: Protocol::Messages,
        stream: false,
    };
    assert_eq!(
        sent(anthropic, "{}").headers[&ANTHROPIC_WORKSPACE],
        "proj_1"
    );
}

#[test]
fn names_outside_the_alphabet_of_aws_are_adapted() {
    let own = attribution();
    let caller = format!("key:é\"\\{}", "x".repeat(300));
    let origin = Origin {
        attribution: Some(&own),
        caller: &caller,
        ..NOTHING
    };
    let text = origin.metadata(None).unwrap();
    let metadata: Value = serde_json::from_str(&text).unwrap();
    let caller = metadata["caller"].as_str().unwrap();
    assert!(caller.starts_with("key:___xxx"), "{caller}");
    assert_eq!(caller.len(), MAX_VALUE_BYTES);
}

#[test]
fn a_body_that_another_parser_could_accept_is_rejected_if_it_may_have_metadata() {
    for body in [
        r#"{"requestMetadata":{"a":"b"}} x"#,
        r#"{"a":1,}{"requestMetadata":{"a":"b"}}"#,
        r#"{'requestMetadata':{"a":"b"}}"#,
        r#"{"request\u004detadata":{"a":"b"}"#,
    ] {
        let mut prepared = Prepared::new(Operation::Converse, body.as_bytes().to_vec(), ());
        assert!(mark(&mut prepared, &NOTHING).is_err(), "{body}");
    }
}

#[test]
fn a_document_without_access_adds_no_metadata_unless_it_says_so() {
    let mut config = GatewayConfig::default();
    assert_eq!(Attribution::new(&config), None);
    config.attribution.request_metadata = Some(true);
    let own = Attribution::new(&config).unwrap();
    let origin = Origin {
        attribution: Some(&own),
        ..NOTHING
    };
    assert_eq!(
        origin.metadata(None).as_deref(),
        Some(r#"{"caller":"key:ci","requestId":"r-1"}"#)
    );
}

#[track_caller]
fn marked(operation: Operation, body: &str, expected: &str) -> Vec<String> {
    let mut prepared = Prepared::new(operation, body.as_bytes().to_vec(), ());
    mark(&mut prepared, &NOTHING).unwrap();
    assert_eq!(*prepared.body.whole(), expected);
    prepared.warnings
}

#[test]
fn metadata_of_a_client_is_nested_and_all_other_bytes_stay() {
    marked(
        Operation::Converse,
        r#"{ "messages": [1.50], "requestMetadata" : {"team":"b","x": "y"} }"#,
        r#"{ "messages": [1.50], "requestMetadata" : {"client":"team=b,x=y"} }"#,
    );
    marked(
        Operation::ConverseStream,
        r#"{"request\u004detadata":{"client":"z"}}"#,
        r#"{"request\u004detadata":{"client":"client=z"}}"#,
    );
    for same in [
        r#"{"messages":[{"requestMetadata":{"a":"b"}}]}"#,
        r#"{"requestMetadata":{}}"#,
        r#"{"requestMetadata":{"a":1}}"#,
    ] {
        marked(Operation::Converse, same, same);
    }
    let invoke = r#"{"requestMetadata":{"a":"b"}}"#;
    marked(Operation::InvokeModel, invoke, invoke);
    let twice = r#"{"requestMetadata":{},"requestMetadata":{"a":"b"}}"#;
    let mut prepared = Prepared::new(Operation::Converse, twice.as_bytes().to_vec(), ());
    assert!(mark(&mut prepared, &NOTHING).is_err());
}

#[test]
fn the_project_of_a_client_is_removed_wherever_it_stands() {
    for (body, expected) in [
        (
            r#"{"projectIdentifier":"p","messages":[]}"#,
            r#"{"messages":[]}"#,
        ),
        (
            r#"{"messages":[] , "projectIdentifier" : "p" }"#,
            r#"{"messages":[]  }"#,
        ),
        (r#"{"project\u0049dentifier":"p"}"#, "{}"),
        (
            r#"{"a":1,"projectIdentifier":"p:\"q","b":2,"projectIdentifier":null}"#,
            r#"{"a":1,"b":2}"#,
        ),
    ] {
        let warnings = marked(Operation::Converse, body, expected);
        assert!(warnings[0].starts_with("projectIdentifier"), "{warnings:?}");
    }
}

#[test]
fn pairs_that_do_not_fit_are_dropped_with_a_warning() {
    let long = "v".repeat(250);
    let body = format!(r#"{{"requestMetadata":{{"a":"{long}","b":"{long}"}}}}"#);
    let expected = format!(r#"{{"requestMetadata":{{"client":"a={long}"}}}}"#);
    let warnings = marked(Operation::Converse, &body, &expected);
    assert!(
        warnings[0].starts_with("requestMetadata: 1 pairs"),
        "{warnings:?}"
    );
}

#[test]
fn headers_for_attribution_are_dropped_and_others_pass() {
    let mut prepared = Prepared::new(Operation::InvokeModel, "{}", ());
    for name in [
        "x-amzn-bedrock-request-metadata",
        "x-amzn-bedrock-project-id",
        "x-amzn-bedrock-trace",
        "x-amzn-bedrock-service-tier",
    ] {
        let name = HeaderName::from_static(name);
        prepared.headers.insert(name, HeaderValue::from_static("x"));
    }
    mark(&mut prepared, &NOTHING).unwrap();
    let mut left: Vec<&str> = prepared.headers.keys().map(HeaderName::as_str).collect();
    left.sort_unstable();
    assert_eq!(
        left,
        ["x-amzn-bedrock-service-tier", "x-amzn-bedrock-trace"]
    );
    assert_eq!(prepared.warnings.len(), 2);
}
