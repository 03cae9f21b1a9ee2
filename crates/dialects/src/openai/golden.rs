//! Golden files: one input, one snapshot beside it, in `testdata/openai/`.
//!
//! `requests/<case>.json` is what a client sends (`model` says which family; `_` holds what the
//! gateway's config would); `responses/<case>.json` a response of Converse; `streams/<case>.jsonl`
//! the events of a stream. The snapshots are read like code: each has to be right.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bedrock::converse::{ConverseResponse, StreamEvent};
use bytes::BytesMut;
use serde_json::Value;

use super::{
    DecodeOptions, Decoded, Fetched, GuardrailRef, RemoteMedia, ReplyContext, RequestError,
    ResponseIdentity, StreamEncoder, decode, encode_response, head,
};
use crate::families::FamilyTable;

/// Inputs in a folder of `testdata`, such as `openai/requests`.
pub(crate) fn inputs(folder: &str, extension: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("testdata")
        .join(folder);
    let mut paths: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "no inputs in {}", folder.display());
    paths
}

/// Compares with the snapshot beside an input.
pub(crate) fn check(path: &Path, snapshot: &str) {
    let name = path.file_stem().unwrap().to_str().unwrap();
    insta::with_settings!({
        snapshot_path => path.parent().unwrap(),
        prepend_module_to_snapshot => false,
        omit_expression => true,
        input_file => path.file_name().unwrap(),
    }, {
        insta::assert_snapshot!(name, snapshot);
    });
}

/// What the gateway's config would say about a request, from its `_` member.
#[derive(Default, serde::Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Settings {
    strict: bool,
    automatic_cache: bool,
    base_model: Option<String>,
    guardrail: Option<(String, String)>,
    fetched: Option<BTreeMap<String, (String, Option<String>)>>,
}

/// Decodes a request as the gateway would, and hands over what came out.
pub(super) fn with_decoded<T>(
    request: Value,
    then: impl FnOnce(Result<Decoded<'_>, RequestError>) -> T,
) -> T {
    with_options(request, |body, options| then(decode(body, options)))
}

/// Hands over a request's body and how the gateway would decode it.
pub(crate) fn with_options<T>(
    mut request: Value,
    then: impl FnOnce(&[u8], &DecodeOptions<'_>) -> T,
) -> T {
    let settings = request.as_object_mut().unwrap().shift_remove("_");
    let settings: Settings = settings.map_or_else(Settings::default, |value| {
        serde_json::from_value(value).unwrap()
    });
    let body = request.to_string();
    let model = head(body.as_bytes()).unwrap().model;
    let capabilities = FamilyTable::builtin().resolve(&model, settings.base_model.as_deref());
    let fetched: Option<BTreeMap<String, Fetched>> = settings.fetched.map(|fetched| {
        let read = |(url, (data, content_type)): (String, (String, Option<String>))| {
            let bytes = STANDARD.decode(data).unwrap();
            (
                url,
                Fetched {
                    bytes,
                    content_type,
                },
            )
        };
        fetched.into_iter().map(read).collect()
    });
    let options = DecodeOptions {
        capabilities: &capabilities,
        strict: settings.strict,
        guardrail: settings
            .guardrail
            .map(|(identifier, version)| GuardrailRef {
                identifier,
                version,
            }),
        remote_media: fetched
            .as_ref()
            .map_or(RemoteMedia::Refuse, RemoteMedia::Fetch),
        automatic_cache: settings.automatic_cache,
    };
    then(body.as_bytes(), &options)
}

fn shown(result: Result<Decoded<'_>, RequestError>) -> String {
    let decoded = match result {
        Err(error) => {
            return format!("400 {} {:?}\n{}", error.code, error.param, error.message);
        }
        Ok(decoded) => decoded,
    };
    let mut lines = Vec::new();
    for warning in &decoded.warnings {
        lines.push(format!("warning: {warning}"));
    }
    for fetch in &decoded.fetches {
        lines.push(format!("{fetch:?}"));
    }
    if decoded.stream {
        lines.push(format!(
            "stream, upstream_stream={}, include_usage={}",
            decoded.upstream_stream, decoded.include_usage
        ));
    }
    let body = serde_json::to_string(&decoded.request).unwrap();
    let tree: Value = serde_json::from_str(&body).unwrap();
    lines.push(serde_json::to_string_pretty(&tree).unwrap());
    lines.join("\n")
}

#[test]
fn requests_become_what_their_snapshots_say() {
    for path in inputs("openai/requests", "json") {
        let request = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        check(&path, &with_decoded(request, shown));
    }
}

pub(super) fn identity() -> ResponseIdentity {
    ResponseIdentity {
        id: "chatcmpl-1".to_owned(),
        created: 1_750_000_000,
        model: "fast".to_owned(),
    }
}

/// The way back that belongs to a request, or that of a plain one.
fn reply(request: Option<Value>) -> ReplyContext {
    request.map_or_else(ReplyContext::default, |request| {
        with_decoded(request, |decoded| decoded.unwrap().reply)
    })
}

#[test]
fn responses_become_what_their_snapshots_say() {
    for path in inputs("openai/responses", "json") {
        let mut case: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let case = case.as_object_mut().unwrap();
        let reply = reply(case.shift_remove("request"));
        let body = serde_json::to_string(&case["response"]).unwrap();
        let response: ConverseResponse = serde_json::from_str(&body).unwrap();
        let whole = match encode_response(&response, &reply, &identity()) {
            Ok(encoded) => {
                let tree: Value = serde_json::from_slice(&encoded.body).unwrap();
                serde_json::to_string_pretty(&tree).unwrap()
            }
            Err(error) => format!("{} {}: {}", error.status, error.code, error.message),
        };
        // The same response as a stream, for models that stream no tools.
        let mut encoder = StreamEncoder::new(reply, &identity());
        let mut out = BytesMut::new();
        let stream = match encoder.response(&response, &mut out) {
            Ok(()) => {
                encoder.finish(&mut out);
                compact(&out)
            }
            Err(error) => format!("{} {}: {}", error.status, error.code, error.message),
        };
        check(&path, &format!("{whole}\n--- as a stream\n{stream}"));
    }
}

/// A stream without the head that is the same in every chunk.
fn compact(out: &[u8]) -> String {
    let text = std::str::from_utf8(out).unwrap();
    let head = "\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1750000000,\"model\":\"fast\",\"system_fingerprint\":";
    text.split_terminator("\n\n")
        .map(|event| {
            let data = event.strip_prefix("data: ").unwrap();
            if data != "[DONE]" {
                let _: Value = serde_json::from_str(data).unwrap();
            }
            match data.split_once(head) {
                Some((before, after)) => {
                    let (_, rest) = after.split_once(',').unwrap();
                    format!("{before}…{rest}\n")
                }
                None => format!("{data}\n"),
            }
        })
        .collect()
}

#[test]
fn streams_become_what_their_snapshots_say() {
    for path in inputs("openai/streams", "jsonl") {
        let text = fs::read_to_string(&path).unwrap();
        let mut lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let request = lines
            .first()
            .and_then(|first| first.get("request"))
            .cloned();
        if request.is_some() {
            lines.remove(0);
        }
        let mut encoder = StreamEncoder::new(reply(request), &identity());
        let mut out = BytesMut::new();
        for line in lines {
            let (event_type, payload) = line.as_object().unwrap().iter().next().unwrap();
            let payload = payload.to_string();
            let event = StreamEvent::from_frame_parts(event_type, payload.as_bytes()).unwrap();
            if let Err(error) = encoder.event(&event, &mut out) {
                let body = super::ErrorBody {
                    status: 502,
                    message: error.to_string(),
                    ..super::ErrorBody::default()
                };
                encoder.error(&body, &mut out);
            }
        }
        encoder.finish(&mut out);
        check(&path, &compact(&out));
    }
}
