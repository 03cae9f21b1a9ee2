//! Signatures of clients: no header makes verification panic, and no forged signature is accepted.
#![no_main]

use std::time::{Duration, UNIX_EPOCH};

use bedrock::sigv4::Claim;
use http::{HeaderName, HeaderValue, Request};
use libfuzzer_sys::fuzz_target;

const SEED: &str = "AWS4-HMAC-SHA256 Credential=key/20260102/us-east-1/bedrock/aws4_request, SignedHeaders=host;x-amz-date, Signature=";

fuzz_target!(|data: &[u8]| {
    let mut lines = data.split(|byte| *byte == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    let first = String::from_utf8_lossy(line());
    let authorization = match first.strip_prefix('+') {
        Some(end) => format!("{SEED}{end}"),
        None => first.into_owned(),
    };
    let uri = String::from_utf8_lossy(line()).into_owned();
    let Ok(request) = Request::builder().uri(uri.as_str()).body(()) else {
        return;
    };
    let (mut parts, ()) = request.into_parts();
    parts
        .headers
        .insert("x-amz-date", HeaderValue::from_static("20260102T030405Z"));
    parts
        .headers
        .insert("host", HeaderValue::from_static("gateway"));
    for _ in 0..4 {
        let one = line();
        let Some(at) = one.iter().position(|byte| *byte == b':') else {
            continue;
        };
        if let (Ok(name), Ok(value)) = (
            HeaderName::try_from(&one[..at]),
            HeaderValue::try_from(&one[at + 1..]),
        ) {
            parts.headers.append(name, value);
        }
    }
    let _ = Claim::is_one(&authorization);
    let Some(claim) = Claim::parse(&authorization) else {
        return;
    };
    let _ = claim.access_key_id();
    let now = UNIX_EPOCH + Duration::from_secs(1_767_323_045);
    assert!(
        claim
            .verify(&parts, line(), "an unguessable secret", now)
            .is_err()
    );
});
