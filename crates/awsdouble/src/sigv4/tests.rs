use std::path::{Path, PathBuf};

use http::{HeaderName, HeaderValue};

use super::*;

/// The directories of AWS's published signing test suite (aws-c-auth, Apache-2.0) with normalized paths.
fn vectors() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/sigv4");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths
}

struct Vector {
    method: Method,
    path: String,
    query: String,
    headers: HeaderMap,
    body: String,
}

fn read(text: &str) -> Vector {
    let text = text.replace("\r\n", "\n");
    let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
    let mut lines: Vec<String> = Vec::new();
    for line in head.lines() {
        // An indented line continues the previous header.
        match lines.last_mut() {
            Some(last) if line.starts_with(' ') => last.push_str(line),
            _ => lines.push(line.to_owned()),
        }
    }
    let (method, target) = lines[0].split_once(' ').unwrap();
    let target = target.strip_suffix(" HTTP/1.1").unwrap();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut headers = HeaderMap::new();
    for line in &lines[1..] {
        let (name, value) = line.split_once(':').unwrap();
        headers.append(
            name.to_lowercase().parse::<HeaderName>().unwrap(),
            HeaderValue::from_bytes(value.as_bytes()).unwrap(),
        );
    }
    Vector {
        method: method.parse().unwrap(),
        path: path.to_owned(),
        query: query.to_owned(),
        headers,
        body: body.to_owned(),
    }
}

#[test]
fn computes_the_signatures_of_the_published_suite() {
    let vectors = vectors();
    assert!(vectors.len() >= 31, "{} vectors", vectors.len());
    for directory in vectors {
        let name = directory
            .file_name()
            .unwrap()
            .to_string_lossy()
            .into_owned();
        let file = |name: &str| std::fs::read_to_string(directory.join(name)).unwrap();
        let vector = read(&file("header-signed-request.txt"));
        let header = |name: &str| vector.headers[name].to_str().unwrap().to_owned();
        let claim = Claim::parse(&header("authorization")).unwrap();
        let parts = Parts {
            method: &vector.method,
            raw_path: &vector.path,
            raw_query: &vector.query,
            headers: &vector.headers,
            host: &header("host"),
            payload_hash: sha256_hex(vector.body.as_bytes()),
        };
        let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
        let computed = claim.expected(secret, &header("x-amz-date"), &parts);
        assert_eq!(
            computed.canonical_request,
            file("header-canonical-request.txt"),
            "{name}"
        );
        assert_eq!(computed.signature, file("header-signature.txt"), "{name}");
        assert_eq!(computed.signature, claim.signature, "{name}");
    }
}

#[test]
fn encodes_an_encoded_path_once_more() {
    // `double-encode-path` of the same suite.
    assert_eq!(
        canonical_path("/test/@connections/JBDvjfGEIAMCERw%3D"),
        "/test/%40connections/JBDvjfGEIAMCERw%253D"
    );
    assert_eq!(
        canonical_path("/model/arn%3Aaws%3Abedrock%2Fx/converse"),
        "/model/arn%253Aaws%253Abedrock%252Fx/converse"
    );
}

#[test]
fn errors_name_the_missing_part_of_the_header() {
    let rows = [
        ("Basic abc", "Unsupported AWS 'algorithm'"),
        (
            "AWS4-HMAC-SHA256 Credential=a/b/c/d/e, SignedHeaders=host",
            "requires 'Signature'",
        ),
        (
            "AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=0",
            "exactly 5 slash-delimited",
        ),
        ("AWS4-HMAC-SHA256 nonsense", "missing equal-sign"),
    ];
    for (header, expected) in rows {
        let message = Claim::parse(header).unwrap_err();
        assert!(message.contains(expected), "{message}");
    }
}
