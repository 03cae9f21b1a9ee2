//! Agents against a real socket: Claude Code, Codex, opencode and aider, started as a user starts them, and what they
//! printed compared with what reached the simulated AWS.
//!
//! The full lane runs the pinned releases, and the newest ones if the registry has newer ones.

mod aider;
mod claude_code;
mod codex;
mod opencode;
mod prompt_cache;

use awsdouble::{Config, Double, Fault, FaultAction, allow_bedrock};
use serde_json::Value;

use crate::support::gateway::Gateway;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const TOO_LONG: &str = "Input is too long for requested model.";
const LONG: &str =
    "These are more words than fit into five events of a stream, so that a cut hits them";

struct Rig {
    double: Double,
    gateway: Gateway,
    _directory: tempfile::TempDir,
}

/// A gateway in front of a double. Names that start with `claude` are Claude by passthrough, unless they end with
/// `converse`; `gpt` and `gpt-oss` are served by bedrock-mantle.
async fn rig() -> Rig {
    rig_with("").await
}

/// The same with more settings.
async fn rig_with(settings: &str) -> Rig {
    let config =
        Config::default().with_user("app", "AKIAIOSFODNN7EXAMPLE", SECRET, allow_bedrock());
    let double = Double::start(config).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let document = directory.path().join("gateway.yaml");
    let text = format!(
        "
allow: ['*']
{settings}
endpoints: {{bedrockMantle: '{}'}}
models:
- {{name: claude-sonnet-4-5, targets: [{{modelId: 'us.anthropic.claude-sonnet-4-5-20250929-v1:0'}}]}}
- {{name: claude-sonnet-4-5-converse, targets: [{{modelId: 'us.anthropic.claude-sonnet-4-5-20250929-v1:0', api: Converse}}]}}
- {{name: claude-opus-4-8, targets: [{{modelId: 'us.anthropic.claude-opus-4-8'}}]}}
- {{name: claude-opus-4-8-converse, targets: [{{modelId: 'us.anthropic.claude-opus-4-8', api: Converse}}]}}
- {{name: nova, targets: [{{modelId: 'us.amazon.nova-2-lite-v1:0'}}]}}
- {{name: gpt, targets: [{{modelId: 'openai.gpt-5.6-sol'}}]}}
- {{name: gpt-oss, targets: [{{modelId: 'openai.gpt-oss-120b'}}]}}
",
        double.mantle_url()
    );
    std::fs::write(&document, text).unwrap();
    let gateway = Gateway::start(
        &[
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
            ("AWS_SECRET_ACCESS_KEY", SECRET),
            ("AWS_ENDPOINT_URL", &double.url()),
        ],
        Some(&document),
    )
    .await;
    gateway.ready().await;
    Rig {
        double,
        gateway,
        _directory: directory,
    }
}

impl Rig {
    /// The requests for text since the last call of this function: operation and body.
    fn requests(&self) -> Vec<(String, Value)> {
        let calls = self.double.calls();
        self.double.clear_calls();
        let asked = calls
            .iter()
            .filter(|call| call.service.starts_with("bedrock-"));
        asked
            .map(|call| (call.operation.clone(), call.json().unwrap()))
            .collect()
    }

    /// Rejects as many calls as the gateway tries for one request, and one more.
    fn throttle(&self, operation: &str) {
        let fault = Fault::error(operation, 429, "ThrottlingException");
        self.double.inject(fault.times(5));
    }

    fn refuse_as_too_long(&self, operation: &str) {
        let action = FaultAction::Error {
            status: 400,
            code: "ValidationException".to_owned(),
            message: TOO_LONG.to_owned(),
            empty_body: false,
        };
        self.double.inject(Fault::new(operation, action).times(1));
    }

    fn cut(&self, operation: &str) {
        let fault = Fault::new(operation, FaultAction::StreamCut { after: 5 });
        self.double.inject(fault.times(1));
    }
}

/// The values of all members of this name, in order.
fn members<'a>(value: &'a Value, name: &str, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(object) => {
            for (key, inner) in object {
                match inner.as_str() {
                    Some(text) if key == name => found.push(text),
                    _ => members(inner, name, found),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|inner| members(inner, name, found)),
        _ => {}
    }
}

fn all<'a>(value: &'a Value, name: &str) -> Vec<&'a str> {
    let mut found = Vec::new();
    members(value, name, &mut found);
    found
}
