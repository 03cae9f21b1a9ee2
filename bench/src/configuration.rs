//! Configurations of the gateway: with nothing on, and with options.

use std::{net::SocketAddr, path::Path};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::{
    content::{MODEL_IDS, NOVA_ID},
    named,
    run::CLIENT_KEY,
    scenario::{Handling, NOVA},
    shares,
};

/// A rate limit that is never reached.
const MANY: u64 = 1_000_000_000;
/// US dollars of a budget that is never used up.
const MUCH: u64 = 5_000_000;

/// What a configuration turns on besides keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Feature {
    /// Rate limits of the endpoint and of clients.
    Limits,
    /// A budget of the endpoint.
    Budget,
    /// Shares of budgets from the operator.
    Shares,
    /// Limits and budgets in a store.
    Store,
    /// Attribution of calls in AWS, as for a BedrockAccess.
    Attribution,
    /// Audit records in a file.
    Audit,
}

/// Models only: no keys, no limits.
pub(crate) fn open(upstream: SocketAddr) -> Value {
    let models = Handling::ALL
        .map(Handling::model)
        .into_iter()
        .zip(MODEL_IDS);
    let models = models.chain([(NOVA, NOVA_ID)]);
    let models = models.map(|(name, id)| json!({"name": name, "targets": [{"modelId": id}]}));
    json!({
        "region": "us-east-1",
        "endpoints": {"bedrockRuntime": format!("http://{upstream}")},
        "models": models.collect::<Vec<_>>(),
    })
}

/// As the operator would write it: models, clients with keys, and features. `directory` gets the key and the audit records.
///
/// # Errors
/// When a key cannot be made or written.
pub(crate) fn with(
    features: &[Feature],
    upstream: SocketAddr,
    store: Option<SocketAddr>,
    directory: &Path,
) -> Result<Value> {
    let keys = directory.join("keys");
    std::fs::create_dir_all(&keys).context("failed to create the directory of keys")?;
    write(&keys.join("bench"), CLIENT_KEY)?;
    let mut document = open(upstream);
    let mut clients = json!({"apiKeysDirectory": keys});
    let mut limits = json!({});
    let rates =
        json!({"requestsPerMinute": MANY, "tokensPerMinute": MANY, "concurrentRequests": MANY});
    for feature in features {
        match feature {
            Feature::Limits => {
                add(&mut limits, &rates);
                add(&mut clients, &json!({"apiKeyLimits": rates}));
            }
            Feature::Budget => {
                add(&mut limits, &json!({"budgets": [budget()]}));
            }
            Feature::Shares => {
                let shares = json!({"publicKey": shares::public_key()?});
                add(&mut limits, &json!({"shares": shares}));
            }
            Feature::Store => {
                let store = store.context("no store")?;
                let redis = json!({"url": format!("redis://{store}")});
                add(&mut limits, &json!({"store": {"redis": redis}}));
            }
            Feature::Attribution => {
                let access = json!({"namespace": "team-a", "name": "chat"});
                add(&mut document, &json!({"access": access}));
            }
            Feature::Audit => {
                let output = audit_file(directory);
                add(&mut document, &json!({"audit": {"output": output}}));
            }
        }
    }
    add(
        &mut document,
        &json!({"clients": clients, "limits": limits}),
    );
    Ok(document)
}

/// The budget of the endpoint.
pub(crate) fn budget() -> Value {
    json!({"period": "Month", "usd": MUCH})
}

/// The file with audit records.
pub(crate) fn audit_file(directory: &Path) -> std::path::PathBuf {
    directory.join("audit.jsonl")
}

/// Adds members to an object.
fn add(object: &mut Value, members: &Value) {
    if let (Some(object), Some(members)) = (object.as_object_mut(), members.as_object()) {
        object.extend(members.clone());
    }
}

/// # Errors
/// When the file cannot be written.
pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("failed to write {}", named(path)))
}
