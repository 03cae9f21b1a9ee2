//! The bill of the simulated AWS: an entry for each response, with the double's own token counts.
//!
//! It has the shapes of AWS's documents: records of the model invocation log, and line items of a CUR 2.0 export. The log
//! has no bodies, as with delivery of text data turned off, and no calls of mantle, which AWS does not log. Line items are
//! sums by hour, caller, model and kind of token; they have amounts and no prices.
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/model-invocation-logging.html>,
//! <https://docs.aws.amazon.com/cur/latest/userguide/table-dictionary-cur2.html>

mod line_items;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use serde_json::{Map, Value, json};

use crate::clock::iso;
use crate::record::Call;

/// The last entries that are kept.
const KEPT: usize = 200_000;

/// Billed tokens by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tokens {
    pub(crate) input: usize,
    pub(crate) output: usize,
    pub(crate) cache_read: usize,
    /// Written to the cache for five minutes.
    pub(crate) cache_write: usize,
    pub(crate) cache_write_1h: usize,
}

/// A billed response.
#[derive(Debug, Clone)]
struct Entry {
    at: SystemTime,
    account: String,
    region: String,
    /// Session tags of the caller.
    tags: BTreeMap<String, String>,
    arn: String,
    service: String,
    operation: String,
    model: String,
    request_id: String,
    metadata: Option<Value>,
    tokens: Tokens,
}

/// All billed responses.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<VecDeque<Entry>>);

impl Ledger {
    fn entries(&self) -> MutexGuard<'_, VecDeque<Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bills the response to a call.
    pub(crate) fn add(
        &self,
        call: &Call,
        tags: BTreeMap<String, String>,
        tokens: Tokens,
        at: SystemTime,
    ) {
        let arn = call.identity.as_ref().map(|identity| identity.arn.clone());
        let arn = arn.unwrap_or_default();
        let mut entries = self.entries();
        entries.push_back(Entry {
            at,
            account: arn.split(':').nth(4).unwrap_or_default().to_owned(),
            region: call.region.clone().unwrap_or_default(),
            tags,
            arn,
            service: call.service.clone(),
            operation: call.operation.clone(),
            model: call.model.clone().unwrap_or_default(),
            request_id: call.request_id.clone(),
            metadata: metadata(call),
            tokens,
        });
        if entries.len() > KEPT {
            entries.pop_front();
        }
    }

    pub(crate) fn clear(&self) {
        self.entries().clear();
    }

    /// The records of the model invocation log, oldest first.
    pub(crate) fn invocation_log(&self) -> Vec<Value> {
        let entries = self.entries();
        let logged = entries
            .iter()
            .filter(|entry| entry.service == "bedrock-runtime");
        logged.map(Entry::record).collect()
    }

    /// The line items as CSV.
    pub(crate) fn line_items(&self) -> String {
        line_items::csv(&self.entries())
    }
}

impl Entry {
    fn record(&self) -> Value {
        let mut record = Map::new();
        let mut set = |name: &str, value: Value| {
            record.insert(name.to_owned(), value);
        };
        set("schemaType", json!("ModelInvocationLog"));
        set("schemaVersion", json!("1.0"));
        set("timestamp", json!(iso(self.at)));
        set("accountId", json!(self.account));
        set("identity", json!({ "arn": self.arn }));
        set("region", json!(self.region));
        set("requestId", json!(self.request_id));
        set("operation", json!(self.operation));
        set("modelId", json!(self.model));
        let tokens = &self.tokens;
        let written = tokens.cache_write + tokens.cache_write_1h;
        let input = if tokens.cache_read + written > 0 {
            json!({
                "inputContentType": "application/json",
                "inputTokenCount": tokens.input,
                "cacheReadInputTokenCount": tokens.cache_read,
                "cacheWriteInputTokenCount": written,
            })
        } else {
            json!({
                "inputContentType": "application/json",
                "inputTokenCount": tokens.input,
            })
        };
        set("input", input);
        let output = json!({
            "outputContentType": "application/json",
            "outputTokenCount": tokens.output,
        });
        set("output", output);
        if let Some(metadata) = &self.metadata {
            set("requestMetadata", metadata.clone());
        }
        Value::Object(record)
    }
}

/// The metadata of a call: a member of Converse, a header of InvokeModel.
fn metadata(call: &Call) -> Option<Value> {
    if call.operation.starts_with("Converse") {
        let body = call.json().ok()?;
        return body.get("requestMetadata").cloned();
    }
    let header = call.headers.get("x-amzn-bedrock-request-metadata")?;
    serde_json::from_str(header).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Identity;

    fn call(operation: &str, service: &str) -> Call {
        Call {
            service: service.to_owned(),
            operation: operation.to_owned(),
            model: Some("amazon.nova-lite-v1:0".to_owned()),
            region: Some("us-east-1".to_owned()),
            request_id: "id".to_owned(),
            body: r#"{"requestMetadata":{"team":"a"}}"#.to_owned(),
            identity: Some(Identity {
                arn: "arn:aws:iam::123456789012:user/dev".to_owned(),
                ..Identity::default()
            }),
            ..Call::default()
        }
    }

    #[test]
    fn records_and_line_items_have_the_shapes_of_aws() {
        let ledger = Ledger::default();
        let tokens = Tokens {
            input: 1200,
            output: 34,
            cache_read: 5,
            cache_write: 0,
            cache_write_1h: 6,
        };
        let at = SystemTime::UNIX_EPOCH + std::time::Duration::from_mins(24_015_636);
        let tags = BTreeMap::from([("team".to_owned(), "a".to_owned())]);
        for service in ["bedrock-runtime", "bedrock-mantle", "bedrock-runtime"] {
            ledger.add(&call("Converse", service), tags.clone(), tokens, at);
        }
        let log = ledger.invocation_log();
        assert_eq!(log.len(), 2, "mantle is not logged");
        assert_eq!(
            log[0],
            json!({
                "schemaType": "ModelInvocationLog", "schemaVersion": "1.0",
                "timestamp": "2015-08-30T12:36:00Z", "accountId": "123456789012",
                "identity": {"arn": "arn:aws:iam::123456789012:user/dev"}, "region": "us-east-1",
                "requestId": "id", "operation": "Converse", "modelId": "amazon.nova-lite-v1:0",
                "input": {"inputContentType": "application/json", "inputTokenCount": 1200,
                    "cacheReadInputTokenCount": 5, "cacheWriteInputTokenCount": 6},
                "output": {"outputContentType": "application/json", "outputTokenCount": 34},
                "requestMetadata": {"team": "a"},
            })
        );
        let csv = ledger.line_items();
        let rows: Vec<&str> = csv.lines().collect();
        assert_eq!(rows.len(), 9, "{csv}");
        let input = rows
            .iter()
            .find(|row| row.contains("USE1-NovaLite-input-tokens,"));
        let input = input.expect(&csv);
        assert!(input.contains(",2.400,"), "{input}");
        assert!(input.contains("2015-08-30T12:00:00Z"), "{input}");
        assert!(
            input.contains(r#""{""iamPrincipal/team"":""a""}""#),
            "{input}"
        );
        assert!(
            csv.contains("USE1-amazon.nova-lite-v1:0-mantle-output-tokens-standard"),
            "{csv}"
        );
        assert!(
            csv.contains("USE1-NovaLite-cache-write-1h-input-token-count"),
            "{csv}"
        );
    }

    #[test]
    fn metadata_of_invoke_model_is_read_from_its_header() {
        let mut call = call("InvokeModel", "bedrock-runtime");
        assert_eq!(metadata(&call), None);
        let name = "x-amzn-bedrock-request-metadata".to_owned();
        call.headers.insert(name, r#"{"a":"b"}"#.to_owned());
        assert_eq!(metadata(&call), Some(json!({"a": "b"})));
    }
}
