//! Golden files: one input with one snapshot next to it, in `testdata/<dialect>/`.
//!
//! `requests/<case>.json` is a client's request: `model` selects the family, and `_` holds the headers and the
//! gateway's settings. `responses/<case>.json` is a response of Converse, `streams/<case>.jsonl` the events of
//! a stream. Review snapshots like code: each of them has to be correct.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bedrock::converse::ConverseResponse;
use bytes::BytesMut;
use serde::Serialize;
use serde_json::Value;

use super::{Dialect, send};
use crate::{
    families::{FamilyTable, ModelCapabilities},
    translation::{
        DecodeOptions, Fetch, Fetched, GuardrailRef, RemoteMedia, RequestError, UpstreamError,
    },
};

/// Inputs in a directory of the dialect's test data.
pub(crate) fn inputs<D: Dialect>(directory: &str, extension: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("testdata")
        .join(D::DIRECTORY)
        .join(directory);
    let mut paths: Vec<PathBuf> = fs::read_dir(&directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "no inputs in {}", directory.display());
    paths
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap())
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The text with a fixed `system_fingerprint`, which changes with each release.
fn without_fingerprint(snapshot: &str) -> String {
    const DIGITS: usize = 10;
    let mut parts = snapshot.split("\"fp_");
    let first = parts.next().unwrap_or_default();
    parts.fold(first.to_owned(), |text, rest| {
        text + "\"fp_0123456789" + rest.get(DIGITS..).unwrap()
    })
}

/// Compares with the snapshot next to an input.
fn check(path: &Path, snapshot: &str) {
    let snapshot = without_fingerprint(snapshot);
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

/// Headers and the gateway's settings for a request, from its `_` member.
#[derive(Default, serde::Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Settings {
    strict: bool,
    automatic_cache: bool,
    base_model: Option<String>,
    guardrail: Option<(String, String)>,
    fetched: Option<BTreeMap<String, (String, Option<String>)>>,
    betas: Vec<String>,
    count: bool,
}

/// A request with its settings.
pub(crate) struct Case {
    pub(crate) body: String,
    settings: Settings,
    capabilities: Arc<ModelCapabilities>,
    fetched: Option<BTreeMap<String, Fetched>>,
}

impl Case {
    pub(crate) fn new(mut request: Value) -> Self {
        let settings = request.as_object_mut().unwrap().shift_remove("_");
        let mut settings: Settings = settings.map_or_else(Settings::default, |value| {
            serde_json::from_value(value).unwrap()
        });
        let body = request.to_string();
        let model = request["model"].as_str().unwrap().to_owned();
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
            capabilities: FamilyTable::builtin().resolve(&model, settings.base_model.as_deref()),
            fetched: settings
                .fetched
                .take()
                .map(|fetched| fetched.into_iter().map(read).collect()),
            settings,
            body,
        }
    }

    pub(crate) fn options(&self) -> DecodeOptions<'_> {
        let guardrail = self.settings.guardrail.clone();
        DecodeOptions {
            client_guardrail: None,
            capabilities: &self.capabilities,
            strict: self.settings.strict,
            guardrail: guardrail.map(|(identifier, version)| GuardrailRef {
                identifier,
                version,
            }),
            remote_media: self
                .fetched
                .as_ref()
                .map_or(RemoteMedia::Refuse, RemoteMedia::Fetch),
            automatic_cache: self.settings.automatic_cache,
            kept_reasoning: None,
        }
    }

    /// Values of the `anthropic-beta` header.
    pub(crate) fn betas(&self) -> Vec<&str> {
        self.settings.betas.iter().map(String::as_str).collect()
    }

    /// Whether the request is for the token count only.
    pub(crate) const fn count(&self) -> bool {
        self.settings.count
    }
}

/// A rejected request as a snapshot.
pub(crate) fn rejection(error: &RequestError) -> String {
    format!("400 {} {:?}\n{}", error.code, error.param, error.message)
}

/// A failed response as a snapshot.
pub(crate) fn failure(error: &UpstreamError) -> String {
    format!("{} {}: {}", error.status, error.code, error.message)
}

/// JSON as a snapshot.
pub(crate) fn pretty(body: &[u8]) -> String {
    let tree: Value = serde_json::from_slice(body).unwrap();
    serde_json::to_string_pretty(&tree).unwrap()
}

/// Warnings, one on each line.
pub(crate) fn warning_lines(warnings: &[String]) -> Vec<String> {
    let lines = warnings.iter().map(|warning| format!("warning: {warning}"));
    lines.collect()
}

/// Fetches, one on each line.
pub(crate) fn fetch_lines(fetches: &[Fetch]) -> Vec<String> {
    fetches.iter().map(|fetch| format!("{fetch:?}")).collect()
}

/// Lines, then a body.
pub(crate) fn with_body(mut lines: Vec<String>, body: &impl Serialize) -> String {
    lines.push(pretty(&serde_json::to_vec(body).unwrap()));
    lines.join("\n")
}

/// Compares every request in a directory with its snapshot.
pub(crate) fn requests<D: Dialect>(directory: &str, snapshot: impl Fn(Value) -> String) {
    for path in inputs::<D>(directory, "json") {
        check(&path, &snapshot(read(&path)));
    }
}

/// Compares every response with its snapshot.
pub(crate) fn responses<D: Dialect>(snapshot: impl Fn(&ConverseResponse, D::Reply) -> String) {
    for path in inputs::<D>("responses", "json") {
        let mut case = read(&path);
        let case = case.as_object_mut().unwrap();
        let reply = D::reply(case.shift_remove("request"));
        let body = serde_json::to_string(&case["response"]).unwrap();
        let response: ConverseResponse = serde_json::from_str(&body).unwrap();
        check(&path, &snapshot(&response, reply));
    }
}

/// Compares every stream with its snapshot; `compact` shortens what was written.
pub(crate) fn streams<D: Dialect>(compact: impl Fn(&[u8]) -> String) {
    for path in inputs::<D>("streams", "jsonl") {
        check(&path, &compact(&run::<D>(&path, &[false])));
    }
}

/// Encodes the events of a file; `cuts` are the events after which the buffer is emptied.
pub(crate) fn run<D: Dialect>(path: &Path, cuts: &[bool]) -> Vec<u8> {
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
    let mut encoder = D::encoder(D::reply(request));
    let mut all = Vec::new();
    let mut out = BytesMut::new();
    for (line, cut) in lines.iter().zip(cuts.iter().cycle()) {
        let (kind, payload) = line.as_object().unwrap().iter().next().unwrap();
        if kind == "exception" {
            let message = payload.as_str().unwrap();
            let code = Some("ThrottlingException");
            D::error(&mut encoder, 429, code, message, &mut out);
        } else {
            send::<D>(&mut encoder, kind, payload, &mut out);
        }
        if *cut {
            all.extend_from_slice(&out.split());
        }
    }
    D::finish(&mut encoder, &mut out);
    all.extend_from_slice(&out);
    all
}
