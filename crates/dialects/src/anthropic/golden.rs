//! Golden files: one input, one snapshot beside it, in `testdata/anthropic/`.
//!
//! `requests/<case>.json` is what a client sends (`model` says which family; `_` holds what headers and
//! the gateway's config would); `native/<case>.json` the same for Claude's own API;
//! `responses/<case>.json` a response of Converse; `streams/<case>.jsonl` the events of a stream. The
//! snapshots are read like code: each has to be right.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bedrock::converse::{ConverseResponse, StreamEvent};
use bytes::BytesMut;
use serde_json::Value;

use super::{
    Decoded, Door, ReplyContext, ResponseIdentity, StreamEncoder, count_by_converse,
    count_natively, decode, encode_response, passthrough,
};
use crate::{
    families::{FamilyTable, ModelCapabilities},
    translation::{DecodeOptions, Fetched, GuardrailRef, RemoteMedia, RequestError, head},
};

pub(super) fn inputs(folder: &str, extension: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("testdata/anthropic")
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

fn check(path: &Path, snapshot: &str) {
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

/// What headers and the gateway's config would say about a request, from its `_` member.
#[derive(Default, serde::Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Settings {
    strict: bool,
    automatic_cache: bool,
    guardrail: Option<(String, String)>,
    fetched: Option<BTreeMap<String, (String, Option<String>)>>,
    betas: Vec<String>,
    count: bool,
}

/// A request with all that belongs to it.
struct Case {
    body: String,
    settings: Settings,
    capabilities: Arc<ModelCapabilities>,
    fetched: Option<BTreeMap<String, Fetched>>,
}

impl Case {
    fn new(mut request: Value) -> Self {
        let settings = request.as_object_mut().unwrap().shift_remove("_");
        let mut settings: Settings = settings.map_or_else(Settings::default, |value| {
            serde_json::from_value(value).unwrap()
        });
        let body = request.to_string();
        let model = head(body.as_bytes()).unwrap().model;
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
        Self {
            capabilities: FamilyTable::builtin().resolve(&model, None),
            fetched: settings
                .fetched
                .take()
                .map(|fetched| fetched.into_iter().map(read).collect()),
            settings,
            body,
        }
    }

    fn options(&self) -> DecodeOptions<'_> {
        DecodeOptions {
            capabilities: &self.capabilities,
            strict: self.settings.strict,
            guardrail: self
                .settings
                .guardrail
                .clone()
                .map(|(identifier, version)| GuardrailRef {
                    identifier,
                    version,
                }),
            remote_media: self
                .fetched
                .as_ref()
                .map_or(RemoteMedia::Refuse, RemoteMedia::Fetch),
            automatic_cache: self.settings.automatic_cache,
        }
    }

    fn betas(&self) -> Vec<&str> {
        self.settings.betas.iter().map(String::as_str).collect()
    }
}

/// Decodes a request as the gateway would, and hands over what came out.
pub(super) fn with_decoded<T>(
    request: Value,
    then: impl FnOnce(Result<Decoded<'_>, RequestError>) -> T,
) -> T {
    let case = Case::new(request);
    then(decode(case.body.as_bytes(), &case.betas(), &case.options()))
}

fn pretty(body: &[u8]) -> String {
    let tree: Value = serde_json::from_slice(body).unwrap();
    serde_json::to_string_pretty(&tree).unwrap()
}

fn refusal(error: &RequestError) -> String {
    format!("400 {} {:?}\n{}", error.code, error.param, error.message)
}

fn noted(warnings: &[String], body: &[u8]) -> String {
    let mut lines: Vec<String> = warnings
        .iter()
        .map(|warning| format!("warning: {warning}"))
        .collect();
    lines.push(pretty(body));
    lines.join("\n")
}

fn shown(result: Result<Decoded<'_>, RequestError>) -> String {
    let decoded = match result {
        Err(error) => return refusal(&error),
        Ok(decoded) => decoded,
    };
    let mut lines: Vec<String> = Vec::new();
    for fetch in &decoded.fetches {
        lines.push(format!("{fetch:?}"));
    }
    if decoded.stream {
        lines.push(format!(
            "stream, upstream_stream={}",
            decoded.upstream_stream
        ));
    }
    let body = serde_json::to_vec(&decoded.request).unwrap();
    lines.push(noted(&decoded.warnings, &body));
    lines.join("\n")
}

#[test]
fn requests_become_what_their_snapshots_say() {
    for path in inputs("requests", "json") {
        let request: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let case = Case::new(request.clone());
        let snapshot = if case.settings.count {
            match count_by_converse(case.body.as_bytes(), &case.betas(), &case.options()) {
                Ok((body, warnings)) => noted(&warnings, &body),
                Err(error) => refusal(&error),
            }
        } else {
            with_decoded(request, shown)
        };
        check(&path, &snapshot);
    }
}

#[test]
fn native_requests_become_what_their_snapshots_say() {
    for path in inputs("native", "json") {
        let case = Case::new(serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap());
        let (body, betas, options) = (case.body.as_bytes(), case.betas(), case.options());
        let result = if case.settings.count {
            count_natively(body, &betas, &options).map(|(body, warnings)| {
                let count: Value = serde_json::from_slice(&body).unwrap();
                let inner = count.pointer("/input/invokeModel/body").unwrap();
                (STANDARD.decode(inner.as_str().unwrap()).unwrap(), warnings)
            })
        } else {
            passthrough(body, &betas, Door::Invoke, &options)
                .map(|native| (native.body, native.warnings))
        };
        let snapshot = match result {
            Ok((body, warnings)) => noted(&warnings, &body),
            Err(error) => refusal(&error),
        };
        check(&path, &snapshot);
    }
}

pub(super) fn identity() -> ResponseIdentity {
    ResponseIdentity {
        id: "msg_1".to_owned(),
        model: "fast".to_owned(),
    }
}

/// The way back that belongs to a request, or that of a plain one.
pub(super) fn reply(request: Option<Value>) -> ReplyContext {
    request.map_or_else(ReplyContext::default, |request| {
        with_decoded(request, |decoded| decoded.unwrap().reply)
    })
}

#[test]
fn responses_become_what_their_snapshots_say() {
    for path in inputs("responses", "json") {
        let mut case: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let case = case.as_object_mut().unwrap();
        let reply = reply(case.shift_remove("request"));
        let body = serde_json::to_string(&case["response"]).unwrap();
        let response: ConverseResponse = serde_json::from_str(&body).unwrap();
        let whole = match encode_response(&response, &reply, &identity()) {
            Ok(encoded) => pretty(&encoded.body),
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

/// The data of each event, once it is certain that its name fits.
pub(super) fn compact(out: &[u8]) -> String {
    let text = std::str::from_utf8(out).unwrap();
    text.split_terminator("\n\n")
        .map(|event| {
            let (name, data) = event.split_once('\n').unwrap();
            let data = data.strip_prefix("data: ").unwrap();
            let tree: Value = serde_json::from_str(data).unwrap();
            assert_eq!(name, format!("event: {}", tree["type"].as_str().unwrap()));
            data
        })
        .collect::<Vec<_>>()
        .join("\n")
}

/// Lines of a stream's file: the way back, and events by name.
pub(super) fn events(path: &Path) -> (ReplyContext, Vec<Value>) {
    let text = fs::read_to_string(path).unwrap();
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
    (reply(request), lines)
}

#[test]
fn streams_become_what_their_snapshots_say() {
    for path in inputs("streams", "jsonl") {
        let (reply, lines) = events(&path);
        let mut encoder = StreamEncoder::new(reply, &identity());
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
