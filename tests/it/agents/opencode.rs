//! opencode, not interactive, with a provider for each API of the gateway.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::{LONG, Rig, all, rig};
use crate::support::{
    agents::{Printed, Release, Workspace, agent, mcp_server},
    gateway::KEY,
    lane,
};

const PACKAGE: &str = "opencode-ai";
const SONNET: &str = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";

struct OpenCode {
    program: PathBuf,
    place: Workspace,
}

impl OpenCode {
    fn new(program: PathBuf, rig: &Rig) -> Self {
        let place = Workspace::new();
        let provider = |package: &str| {
            let model = json!({
                "reasoning": true,
                "attachment": true,
                "modalities": {"input": ["text", "image"], "output": ["text"]},
                "limit": {"context": 200_000, "output": 8000},
            });
            json!({
                "npm": package,
                "options": {"baseURL": rig.gateway.openai_url(), "apiKey": KEY},
                "models": {"claude-sonnet-4-5": model, "nova": model},
            })
        };
        let settings = json!({
            "autoupdate": false,
            "share": "disabled",
            "permission": {"*": "allow"},
            "mcp": {"demo": {"type": "local", "command": ["node", mcp_server()], "enabled": true}},
            "provider": {
                "chat": provider("@ai-sdk/openai-compatible"),
                "responses": provider("@ai-sdk/openai"),
                "messages": provider("@ai-sdk/anthropic"),
                "amazon-bedrock": {
                    "options": {"region": "us-east-1", "endpoint": rig.gateway.url()},
                    "models": {SONNET: {"limit": {"context": 200_000, "output": 8000}}},
                },
            },
        });
        place.write("work/opencode.json", settings.to_string());
        Self { program, place }
    }

    async fn ask(&self, model: &str, prompt: &str) -> Printed {
        let environment = [
            ("OPENCODE_DISABLE_MODELS_FETCH", "1"),
            ("OPENCODE_DISABLE_AUTOUPDATE", "1"),
            ("OPENCODE_DISABLE_LSP_DOWNLOAD", "1"),
            ("AWS_BEARER_TOKEN_BEDROCK", KEY),
            ("AWS_REGION", "us-east-1"),
        ];
        // It puts arguments in quotes; standard input is the prompt as it is.
        self.place.write("input", prompt);
        let arguments = ["run", "--format", "json", "-m", model];
        self.place
            .run(&self.program, &arguments, &environment)
            .await
    }
}

/// The last text.
#[track_caller]
fn answer(printed: &Printed) -> String {
    let mut events = printed.events();
    assert!(
        events.iter().all(|event| event["type"] != "error"),
        "{printed:?}"
    );
    events.retain(|event| event["type"] == "text");
    let last = events.last().expect("a text");
    last["part"]["text"].as_str().unwrap().to_owned()
}

/// A command, an image and the tool of an MCP server in one turn, and what came of them.
async fn runs_tools(rig: &Rig, program: PathBuf, model: &str) {
    let agent = OpenCode::new(program, rig);
    let command = json!({"command": "printf made > made.txt; cat note.txt", "description": "d"});
    let image = json!({"filePath": agent.place.path("work/red.png")});
    let prompt = format!(
        "@say Now.\n@reason Why.\n@tool bash {command}\n@tool read {image}\n@tool demo_get_weather {{\"city\":\"Paris\"}}"
    );
    rig.requests();
    let answer = answer(&agent.ask(model, &prompt).await);
    for seen in ["secret-42", "[image png, 80 bytes]", "Sunny in Paris"] {
        assert!(answer.contains(seen), "{model}: {answer}");
    }
    assert_eq!(agent.place.read("work/made.txt"), "made");
    let requests = rig.requests();
    assert_eq!(requests.len(), 3, "a title, the calls, and their results");
    let sent: Vec<&Value> = requests.iter().map(|(_, body)| &body["messages"]).collect();
    if !model.starts_with("chat") {
        assert_eq!(
            all(sent[2], "signature").len(),
            1,
            "{model}: reasoning comes back"
        );
    }
}

async fn survives_trouble(rig: &Rig, program: PathBuf, model: &str) {
    let stream = if model == "messages/claude-sonnet-4-5" {
        "InvokeModelWithResponseStream"
    } else {
        "ConverseStream"
    };
    let agent = OpenCode::new(program, rig);
    rig.throttle(stream);
    assert_eq!(
        answer(&agent.ask(model, "@say first").await),
        "first",
        "{model}"
    );
    // The title of the conversation and the response itself.
    rig.cut(stream);
    rig.cut(stream);
    let prompt = format!("@say {LONG}");
    assert_eq!(answer(&agent.ask(model, &prompt).await), LONG, "{model}");
    rig.refuse_as_too_long(stream);
    rig.refuse_as_too_long(stream);
    let printed = agent.ask(model, "@say second").await;
    let failed = printed.event("a failure", |event| event["type"] == "error");
    assert_eq!(failed["error"]["name"], "ContextOverflowError", "{model}");
    let texts = printed.events();
    let texts = all_texts(&texts);
    assert!(
        texts.contains("summary from the conversation"),
        "{model}: it compacts: {texts}"
    );
    rig.double.clear_faults();
}

fn all_texts(events: &[Value]) -> String {
    let texts = events
        .iter()
        .filter_map(|event| event["part"]["text"].as_str());
    texts.collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn opencode_runs_tools_with_each_provider() {
    if lane::is_left_to_full() {
        return;
    }
    let program = agent(PACKAGE, "opencode", Release::Pinned).await.unwrap();
    let rig = rig().await;
    let bedrock = format!("amazon-bedrock/{SONNET}");
    for model in [
        "chat/claude-sonnet-4-5",
        "responses/claude-sonnet-4-5",
        "messages/claude-sonnet-4-5",
        "messages/nova",
        &bedrock,
    ] {
        runs_tools(&rig, program.clone(), model).await;
    }
}

#[tokio::test]
async fn opencode_compacts_waits_and_asks_again() {
    if lane::is_left_to_full() {
        return;
    }
    let program = agent(PACKAGE, "opencode", Release::Pinned).await.unwrap();
    let rig = rig().await;
    for model in ["chat/claude-sonnet-4-5", "messages/claude-sonnet-4-5"] {
        survives_trouble(&rig, program.clone(), model).await;
    }
}

#[tokio::test]
async fn newest_opencode_works_as_the_pinned_one() {
    if lane::is_left_to_full() {
        return;
    }
    let Some(program) = agent(PACKAGE, "opencode", Release::Newest).await else {
        return;
    };
    let rig = rig().await;
    for model in ["chat/claude-sonnet-4-5", "messages/claude-sonnet-4-5"] {
        runs_tools(&rig, program.clone(), model).await;
        survives_trouble(&rig, program.clone(), model).await;
    }
}
