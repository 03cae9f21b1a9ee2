//! Golden and generated OpenAI requests through a gateway to the double, which validates requests like Bedrock. A
//! translated request must be valid; the gateway itself rejects a request that it cannot translate with a 400.

mod generated;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use awsdouble::{Config, Double, allow_bedrock, config};
use serde_json::{Value, json};

use crate::support::{
    gateway::{Gateway, KEY},
    http::{self, Answer},
};

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
/// Models that have Chat Completions of their own.
const TRANSLATED: [&str; 2] = ["openai.gpt-oss-20b-1:0", "openai.gpt-oss-120b-1:0"];
const APPLICATION: &str =
    "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123";

/// An account with the resources of the golden requests besides foundation models.
async fn double() -> Double {
    let mut config =
        Config::default().with_user("app", "AKIAIOSFODNN7EXAMPLE", SECRET, allow_bedrock());
    for (id, family) in [
        ("acme.brand-new-v1:0", Some("any")),
        ("amazon.titan-text-express-v1", None),
    ] {
        config.models.push(config::Model {
            id: id.to_owned(),
            family: family.map(str::to_owned),
            regions: Vec::new(),
            on_demand: true,
            profiles: Vec::new(),
            access: true,
            legacy: false,
        });
    }
    config.inference_profiles.push(config::InferenceProfile {
        id: "abc123".to_owned(),
        model: "anthropic.claude-sonnet-4-5-20250929-v1:0".to_owned(),
        regions: Vec::new(),
        application: true,
    });
    for (id, version) in [
        ("gr1", "1"),
        ("mine", "1"),
        ("forced", "7"),
        ("forced", "DRAFT"),
    ] {
        config.guardrails.push(config::Guardrail {
            id: id.to_owned(),
            version: version.to_owned(),
            blocked_words: vec!["forbidden".to_owned()],
            message: "No.".to_owned(),
        });
    }
    Double::start(config).await.unwrap()
}

/// A gateway with the configuration in the `_` field of a golden request.
async fn gateway(double: &Double, settings: &Value, directory: &Path) -> Gateway {
    // gpt-oss is called by its own protocol unless a target selects another; these tests are about translation.
    let translated =
        |model: &str| json!({"name": model, "targets": [{"modelId": model, "api": "Converse"}]});
    let mut models: Vec<Value> = TRANSLATED.iter().copied().map(translated).collect();
    let mantle = double.mantle_url();
    let mut document =
        json!({"allow": ["*"], "s3Sources": ["s3://*"], "endpoints": {"bedrockMantle": mantle}});
    for name in ["strict", "automaticCache"] {
        if let Some(value) = settings.get(name) {
            document[name] = value.clone();
        }
    }
    if let Some(guardrail) = settings.get("guardrail") {
        document["guardrail"] = json!({"identifier": guardrail[0], "version": guardrail[1]});
    }
    if let Some(base) = settings.get("baseModel") {
        models.push(json!({"name": APPLICATION,
            "targets": [{"modelId": APPLICATION, "baseModel": base}]}));
    }
    document["models"] = Value::from(models);
    let path = directory.join("gateway.yaml");
    fs::write(&path, serde_yaml::to_string(&document).unwrap()).unwrap();
    let environment = [
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
        ("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", &double.url()),
    ];
    let gateway = Gateway::start(&environment, Some(&path)).await;
    gateway.ready().await;
    gateway
}

/// Replaces the invalid signatures of reasoning in golden requests by one of the double.
fn sign_reasoning(value: &mut Value) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(sign_reasoning),
        Value::Object(object) => {
            let signed = object
                .get("signature")
                .is_some_and(|one| one.as_str().is_some_and(|one| !one.is_empty()));
            let kind = object.get("type").and_then(Value::as_str);
            match kind {
                Some("thinking") if signed => {
                    let text = object["thinking"].as_str().unwrap_or_default();
                    let signature = awsdouble::reasoning_signature(text);
                    object.insert("signature".to_owned(), json!(signature));
                }
                Some("reasoning.text") if signed => {
                    let text = object["text"].as_str().unwrap_or_default();
                    let signature = awsdouble::reasoning_signature(text);
                    object.insert("signature".to_owned(), json!(signature));
                }
                Some("redacted_thinking" | "reasoning.encrypted") => {
                    object.insert("data".to_owned(), json!(awsdouble::redacted_reasoning()));
                }
                _ => {}
            }
            object.values_mut().for_each(sign_reasoning);
        }
        _ => {}
    }
}

/// Outcome of a request.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Served,
    Refused,
}

/// Whether the double and the gateway served the request, or the gateway rejected it; any other outcome is an `Err`.
fn outcome(double: &Double, answer: &Answer) -> Result<Outcome, String> {
    let calls = double.calls();
    if let Some(call) = calls.iter().find(|call| call.error.is_some()) {
        return Err(format!(
            "Bedrock refused: {} {}",
            call.error.as_deref().unwrap_or_default(),
            call.message.as_deref().unwrap_or_default()
        ));
    }
    match (calls.is_empty(), answer.status.as_u16()) {
        (true, 400 | 404) => Ok(Outcome::Refused),
        (false, 200) => Ok(Outcome::Served),
        (_, status) => Err(format!(
            "{status} after {} calls: {}",
            calls.len(),
            answer.text()
        )),
    }
}

#[tokio::test]
async fn translated_request_passes_bedrocks_validation_or_was_refused_by_the_gateway() {
    let double = double().await;
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../crates/dialects/testdata/openai/requests");
    let mut cases: BTreeMap<String, Vec<(String, Value)>> = BTreeMap::new();
    for entry in fs::read_dir(&directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|kind| kind != "json") {
            continue;
        }
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let mut body: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let settings = body.as_object_mut().unwrap().shift_remove("_");
        sign_reasoning(&mut body);
        let settings = settings.unwrap_or_else(|| json!({})).to_string();
        cases.entry(settings).or_default().push((name, body));
    }
    let (mut served, mut refused, mut wrong) = (0, 0, Vec::new());
    for (settings, cases) in cases {
        let settings: Value = serde_json::from_str(&settings).unwrap();
        let config = tempfile::tempdir().unwrap();
        let gateway = gateway(&double, &settings, config.path()).await;
        let url = format!("{}/chat/completions", gateway.openai_url());
        for (name, body) in cases {
            double.clear_calls();
            let answer = http::post(&url, KEY, &body).await.unwrap();
            match outcome(&double, &answer) {
                Ok(Outcome::Served) => served += 1,
                Ok(Outcome::Refused) => {
                    // The case or its snapshot expects the rejection.
                    let snapshot = fs::read_to_string(directory.join(format!("{name}.snap")));
                    let meant =
                        snapshot.unwrap().contains("\n400 ") || settings.get("fetched").is_some();
                    assert!(meant, "{name}: {}", answer.text());
                    refused += 1;
                }
                Err(error) => wrong.push(format!("{name}: {error}")),
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{served} served, {refused} refused, {} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(
        served > 190 && refused > 40,
        "{served} served, {refused} refused"
    );
}
