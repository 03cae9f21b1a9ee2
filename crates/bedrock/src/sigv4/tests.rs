use std::{
    path::Path,
    time::{Duration, SystemTime},
};

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign as sign_v4},
    sign::v4,
};
use http::Request;
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::model_id::encode_path_segment;

/// 2015-08-30T12:36:00Z, the time in AWS's test suite.
const SUITE_TIME: Duration = Duration::from_mins(24_015_636);

fn identity(key: &str, secret: &str, token: Option<&str>) -> Identity {
    Identity::new(
        Credentials::new(key, secret, token.map(ToOwned::to_owned), None, "test"),
        None,
    )
}

/// Reads a request file of the suite: a request line, headers (a line that starts with a space continues the
/// previous one), an empty line, the body.
fn read_request(path: &Path) -> (Parts, String) {
    let text = std::fs::read_to_string(path).unwrap().replace('\r', "");
    let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
    let mut lines: Vec<String> = Vec::new();
    for line in head.lines() {
        match lines.last_mut() {
            Some(last) if line.starts_with(' ') => last.push_str(line),
            _ => lines.push(line.to_owned()),
        }
    }
    let mut request_line = lines[0].split(' ');
    let method = request_line.next().unwrap();
    let target = request_line.next().unwrap();
    let mut host = "";
    let mut builder = Request::builder().method(method);
    for line in &lines[1..] {
        let (name, value) = line.split_once(':').unwrap();
        if name.eq_ignore_ascii_case("host") {
            host = value;
        } else {
            builder = builder.header(name, value);
        }
    }
    let uri = format!("https://{host}{target}");
    let (parts, ()) = builder.uri(uri).body(()).unwrap().into_parts();
    (parts, body.to_owned())
}

fn signature(parts: &Parts) -> String {
    let authorization = parts.headers[AUTHORIZATION].to_str().unwrap();
    authorization
        .rsplit_once("Signature=")
        .unwrap()
        .1
        .to_owned()
}

#[test]
fn published_vectors_give_the_published_signatures() {
    let suite = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/sigv4");
    let mut seen = 0;
    for entry in std::fs::read_dir(suite).unwrap() {
        let case = entry.unwrap().path();
        let Ok(context) = std::fs::read_to_string(case.join("context.json")) else {
            continue; // the two cases without a context have their own tests
        };
        let context: Value = serde_json::from_str(&context).unwrap();
        let credentials = &context["credentials"];
        let identity = identity(
            credentials["access_key_id"].as_str().unwrap(),
            credentials["secret_access_key"].as_str().unwrap(),
            credentials["token"].as_str(),
        );
        let (mut parts, body) = read_request(&case.join("request.txt"));
        sign(
            &mut parts,
            std::iter::once(body.as_bytes()),
            &identity,
            context["region"].as_str().unwrap(),
            context["service"].as_str().unwrap(),
            SystemTime::UNIX_EPOCH + SUITE_TIME,
        )
        .unwrap();
        let expected = std::fs::read_to_string(case.join("header-signature.txt")).unwrap();
        assert_eq!(signature(&parts), expected.trim(), "{}", case.display());
        seen += 1;
    }
    assert_eq!(seen, 26);
}

#[test]
fn percent_signs_in_the_path_are_encoded_a_second_time() {
    let case = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/sigv4/double-url-encode");
    let (mut parts, body) = read_request(&case.join("request.txt"));
    sign(
        &mut parts,
        std::iter::once(body.as_bytes()),
        &identity(
            "AKIDEXAMPLE",
            "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
            None,
        ),
        "us-east-2",
        "lambda",
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_620_747_645), // 2021-05-11T15:40:45Z
    )
    .unwrap();
    let expected = std::fs::read_to_string(case.join("header-signed-request.txt")).unwrap();
    assert!(
        expected.contains(&signature(&parts)),
        "{}",
        signature(&parts)
    );
}

fn bedrock_request(id: &str) -> Parts {
    let uri = format!(
        "https://bedrock-runtime.us-east-1.amazonaws.com/model/{}/converse",
        encode_path_segment(id)
    );
    let request = Request::post(uri).header("content-type", "application/json");
    request.body(()).unwrap().into_parts().0
}

fn sign_for_bedrock(parts: &mut Parts, token: Option<&str>, body: &[u8]) {
    sign(
        parts,
        std::iter::once(body),
        &identity("AKIDEXAMPLE", "secret", token),
        "us-east-1",
        "bedrock",
        SystemTime::UNIX_EPOCH + SUITE_TIME,
    )
    .unwrap();
}

#[test]
fn scope_names_region_and_service_and_the_session_token_is_signed() {
    let mut parts = bedrock_request("arn:aws:bedrock:us-east-1:123456789012:inference-profile/a");
    sign_for_bedrock(&mut parts, Some("session"), b"{}");
    let authorization = parts.headers[AUTHORIZATION].to_str().unwrap();
    assert!(
        authorization.starts_with(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/bedrock/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, Signature="
        ),
        "{authorization}"
    );
    assert_eq!(parts.headers["x-amz-security-token"], "session");
    assert!(parts.headers["x-amz-security-token"].is_sensitive());
    assert_eq!(
        parts.headers[HOST],
        "bedrock-runtime.us-east-1.amazonaws.com"
    );
}

#[test]
fn signing_again_replaces_the_previous_signature() {
    let mut once = bedrock_request("amazon.nova-lite-v1:0");
    sign_for_bedrock(&mut once, None, b"{}");
    let mut twice = bedrock_request("amazon.nova-lite-v1:0");
    sign_for_bedrock(&mut twice, Some("old"), b"{}");
    sign_for_bedrock(&mut twice, None, b"{}");
    assert_eq!(once.headers, twice.headers);
}

#[test]
fn one_byte_of_body_or_path_changes_the_signature() {
    let signed = |id: &str, body: &[u8]| {
        let mut parts = bedrock_request(id);
        sign_for_bedrock(&mut parts, None, body);
        signature(&parts)
    };
    let base = signed("amazon.nova-lite-v1:0", b"{}");
    assert_ne!(base, signed("amazon.nova-lite-v1:1", b"{}"));
    assert_ne!(base, signed("amazon.nova-lite-v1:0", b"{ }"));
}

#[test]
fn host_contains_the_port_unless_it_is_the_default() {
    for (uri, expected) in [
        ("https://a.example:443/", "a.example"),
        ("https://a.example:8443/", "a.example:8443"),
        ("http://127.0.0.1:80/", "127.0.0.1"),
        ("http://127.0.0.1:8001/", "127.0.0.1:8001"),
        ("http://[::1]:8001/", "[::1]:8001"),
    ] {
        let (mut parts, ()) = Request::get(uri).body(()).unwrap().into_parts();
        sign_for_bedrock(&mut parts, None, b"");
        assert_eq!(parts.headers[HOST], expected, "{uri}");
    }
}

#[test]
fn rejects_an_identity_without_keys_and_a_uri_without_host() {
    let mut parts = bedrock_request("a");
    let empty = Identity::new("no keys", None);
    let result = sign(
        &mut parts,
        std::iter::empty(),
        &empty,
        "us-east-1",
        "bedrock",
        SystemTime::UNIX_EPOCH,
    );
    assert!(matches!(result, Err(SignError::NoKeys)), "{result:?}");
    let (mut parts, ()) = Request::get("/model").body(()).unwrap().into_parts();
    let result = sign(
        &mut parts,
        std::iter::empty(),
        &identity("a", "b", None),
        "us-east-1",
        "bedrock",
        SystemTime::UNIX_EPOCH,
    );
    assert!(matches!(result, Err(SignError::NoHost)), "{result:?}");
}

/// The same with AWS's crate alone.
fn signed_by_aws(parts: &Parts, body: &[u8], identity: &Identity, time: SystemTime) -> String {
    let params = v4::SigningParams::builder()
        .identity(identity)
        .region("eu-central-1")
        .name("bedrock")
        .time(time)
        .settings(SigningSettings::default())
        .build()
        .unwrap()
        .into();
    let headers: Vec<_> = parts
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .collect();
    let uri = parts.uri.to_string();
    let signable = SignableRequest::new(
        parts.method.as_str(),
        &uri,
        headers.into_iter(),
        SignableBody::Bytes(body),
    )
    .unwrap();
    sign_v4(signable, &params).unwrap().into_parts().1
}

proptest! {
    #[test]
    fn signatures_are_those_of_the_sdks(
        id in "[a-z0-9.:/-]{1,60}",
        query in prop::option::of("[a-zA-Z]{1,5}=[a-zA-Z0-9._~-]{0,9}(&[a-z]{1,3}=[0-9]{0,3}){0,3}"),
        headers in prop::collection::vec(("x-amzn-bedrock-[a-z]{1,9}", "[!-~]{1,8}( {1,3}[!-~]{1,8}){0,3}"), 0..5),
        agent in any::<bool>(),
        body in prop::collection::vec(any::<u8>(), 0..500),
        token in prop::option::of("[A-Za-z0-9/+=]{1,900}"),
        seconds in 0_u64..4_000_000_000,
        get in any::<bool>(),
    ) {
        let query = query.map_or_else(String::new, |query| format!("?{query}"));
        let mut uri = format!("https://bedrock.example:8443/model/{}/converse", encode_path_segment(&id));
        uri.push_str(&query);
        let mut builder = Request::builder().method(if get { "GET" } else { "POST" }).uri(uri);
        for (name, value) in &headers {
            builder = builder.header(name, value);
        }
        if agent {
            builder = builder.header("user-agent", "a/1").header("x-amzn-trace-id", "Root=1");
        }
        let mut parts = builder.body(()).unwrap().into_parts().0;
        let identity = identity("AKIDEXAMPLE", "secret", token.as_deref());
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let expected = signed_by_aws(&parts, &body, &identity, time);
        // The second time with the kept key.
        for _ in 0..2 {
            sign(&mut parts, body.chunks(7), &identity, "eu-central-1", "bedrock", time).unwrap();
            prop_assert_eq!(&signature(&parts), &expected);
        }
    }
}

#[test]
fn keys_belong_to_their_session_day_region_and_service() {
    let one = identity("AKIDEXAMPLE", "secret", None);
    let other = identity("AKIDEXAMPLE", "another", None);
    let day = Duration::from_hours(24);
    let signed = |identity: &Identity, region: &str, service: &str, days: u32| {
        let mut parts = bedrock_request("a");
        let time = SystemTime::UNIX_EPOCH + SUITE_TIME + day * days;
        sign(
            &mut parts,
            std::iter::empty(),
            identity,
            region,
            service,
            time,
        )
        .unwrap();
        signature(&parts)
    };
    let rows = [
        (&one, "us-east-1", "bedrock", 0),
        (&other, "us-east-1", "bedrock", 0),
        (&one, "us-west-2", "bedrock", 0),
        (&one, "us-east-1", "bedrock-mantle", 0),
        (&one, "us-east-1", "bedrock", 1),
    ];
    let sign_all =
        || rows.map(|(identity, region, service, days)| signed(identity, region, service, days));
    let first = sign_all();
    assert_eq!(first, sign_all());
    let distinct: std::collections::HashSet<_> = first.iter().collect();
    assert_eq!(distinct.len(), rows.len());
    // More sessions than are kept.
    for number in 0..100 {
        signed(
            &identity("AKIDEXAMPLE", &number.to_string(), None),
            "us-east-1",
            "bedrock",
            0,
        );
    }
    assert_eq!(first, sign_all());
}
