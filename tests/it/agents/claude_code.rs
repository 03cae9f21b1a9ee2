//! Claude Code, not interactive, with `ANTHROPIC_BASE_URL` and in its mode for Bedrock.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::{LONG, Rig, all, rig};
use crate::support::{
    agents::{Printed, Release, Workspace, agent, mcp_server},
    gateway::KEY,
    lane,
};

pub(super) const PACKAGE: &str = "@anthropic-ai/claude-code";
const SONNET: &str = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";

pub(super) struct ClaudeCode {
    program: PathBuf,
    place: Workspace,
}

impl ClaudeCode {
    pub(super) fn new(program: PathBuf) -> Self {
        let place = Workspace::new();
        let servers = json!({"mcpServers": {"demo": {"command": "node", "args": [mcp_server()]}}});
        place.write("mcp.json", servers.to_string());
        Self { program, place }
    }

    /// Sends a prompt; `more` are further arguments.
    pub(super) async fn ask(&self, rig: &Rig, model: &str, prompt: &str, more: &[&str]) -> Printed {
        let url = rig.gateway.url();
        let environment = [
            ("ANTHROPIC_BASE_URL", url.as_str()),
            ("ANTHROPIC_AUTH_TOKEN", KEY),
        ];
        self.start(&environment, model, prompt, more).await
    }

    async fn start(
        &self,
        environment: &[(&str, &str)],
        model: &str,
        prompt: &str,
        more: &[&str],
    ) -> Printed {
        let mut environment = environment.to_vec();
        environment.extend([
            ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
            ("DISABLE_TELEMETRY", "1"),
            ("DISABLE_ERROR_REPORTING", "1"),
            ("DISABLE_AUTOUPDATER", "1"),
        ]);
        let servers = self.place.path("mcp.json");
        let mut arguments = vec!["-p", "--model", model];
        arguments.extend(["--output-format", "stream-json", "--verbose"]);
        arguments.extend(["--allowedTools", "Bash Read mcp__demo"]);
        arguments.extend(["--mcp-config", &servers]);
        arguments.extend_from_slice(more);
        arguments.extend(["--", prompt]);
        self.place
            .run(&self.program, &arguments, &environment)
            .await
    }
}

/// The text of the last event, which must report success.
#[track_caller]
fn answer(printed: &Printed) -> String {
    let result = printed.event("a result", |event| event["type"] == "result");
    assert_eq!(result["is_error"], false, "{printed:?}");
    result["result"].as_str().unwrap().to_owned()
}

/// Four turns of one conversation with a tool each: a command, an image, the search for the tool of an MCP server, and
/// that tool. Every turn thinks.
async fn keeps_a_conversation_with_tools(rig: &Rig, program: PathBuf, model: &str) {
    let agent = ClaudeCode::new(program);
    let image = agent.place.path("work/red.png");
    let turns = [
        (
            "Bash",
            json!({"command": "printf made > made.txt; cat note.txt"}),
            "secret-42",
        ),
        ("Read", json!({"file_path": image}), "[image png, 80 bytes]"),
        (
            "ToolSearch",
            json!({"query": "select:mcp__demo__get_weather"}),
            "",
        ),
        (
            "mcp__demo__get_weather",
            json!({"city": "Paris"}),
            "Sunny in Paris",
        ),
    ];
    let mut signatures: Vec<String> = Vec::new();
    let mut ids: Vec<String> = Vec::new();
    rig.requests();
    for (turn, (tool, input, seen)) in turns.iter().enumerate() {
        let prompt = format!("@say Step {turn}.\n@reason About {tool}.\n@tool {tool} {input}");
        let more: &[&str] = if turn == 0 { &[] } else { &["--continue"] };
        let printed = agent.ask(rig, model, &prompt, more).await;
        let answer = answer(&printed);
        assert!(answer.contains(seen), "{model} {tool}: {answer}");
        for event in printed.events() {
            let owned = |found: Vec<&str>| found.into_iter().map(str::to_owned).collect::<Vec<_>>();
            if event["type"] == "assistant" {
                signatures.extend(owned(all(&event, "signature")));
                assert_eq!(
                    event["message"]["model"], model,
                    "the name that was asked for"
                );
            }
            if event["type"] == "user" {
                ids.extend(owned(all(&event["message"], "tool_use_id")));
            }
        }
    }
    assert_eq!(agent.place.read("work/made.txt"), "made");
    assert_eq!((signatures.len(), ids.len()), (4, 4), "{model}");

    let requests = rig.requests();
    assert_eq!(
        requests.len(),
        8,
        "two for each turn, and no request was refused"
    );
    let (_, last) = requests.last().unwrap();
    assert_eq!(all(&last["messages"], "signature"), signatures, "{model}");
    let mut sent = ["id", "tool_use_id", "toolUseId"]
        .map(|name| all(&last["messages"], name))
        .concat();
    let mut expected = [ids.as_slice(), ids.as_slice()].concat();
    sent.sort_unstable();
    expected.sort_unstable();
    assert_eq!(sent, expected, "{model}: each call and its result");
    let names = [&last["tools"], &last["toolConfig"]].map(|tools| all(tools, "name"));
    let names = names.concat();
    for name in ["Bash", "Read", "ToolSearch", "mcp__demo__get_weather"] {
        assert!(names.contains(&name), "{model}: {names:?}");
    }
}

async fn survives_trouble(rig: &Rig, program: PathBuf, model: &str) {
    let stream = if model.ends_with("converse") {
        "ConverseStream"
    } else {
        "InvokeModelWithResponseStream"
    };
    let agent = ClaudeCode::new(program);
    rig.requests();

    // A full context: the conversation is summarized, and the prompt is sent again.
    let printed = agent.ask(rig, model, "@say first", &[]).await;
    assert_eq!(answer(&printed), "first");
    rig.refuse_as_too_long(stream);
    let printed = agent.ask(rig, model, "@say second", &["--continue"]).await;
    assert_eq!(answer(&printed), "second", "{model}");
    printed.event("compaction", |event| event["subtype"] == "compact_boundary");
    let requests = rig.requests();
    assert_eq!(requests.len(), 4, "first, refused, the summary, second");

    // A context that is full at once cannot be summarized.
    rig.refuse_as_too_long(stream);
    let printed = agent.ask(rig, model, "@say third", &[]).await;
    let result = printed.event("a result", |event| event["type"] == "result");
    let said = result["result"].as_str().unwrap();
    assert!(said.starts_with("Prompt is too long"), "{model}: {said}");
    rig.requests();

    rig.throttle(stream);
    let printed = agent.ask(rig, model, "@say fourth", &[]).await;
    assert_eq!(answer(&printed), "fourth", "{model}");
    let retry = printed.event("a retry", |event| event["subtype"] == "api_retry");
    assert_eq!(retry["error_status"], 429, "{model}");
    assert_eq!(retry["error"], "rate_limit", "{model}");
    // `retry-after`, not the agent's own first delay of half a second.
    assert!(retry["retry_delay_ms"].as_u64() >= Some(1000), "{retry}");
    assert_eq!(rig.requests().len(), 6);

    rig.cut(stream);
    let printed = agent.ask(rig, model, &format!("@say {LONG}"), &[]).await;
    assert_eq!(answer(&printed), LONG, "{model}: whole, and once");
    let operations: Vec<String> = rig.requests().into_iter().map(|(name, _)| name).collect();
    let whole = stream
        .trim_end_matches("Stream")
        .trim_end_matches("WithResponse");
    assert_eq!(
        operations,
        [stream, whole],
        "the agent asks again without a stream"
    );
}

async fn works_in_bedrock_mode(rig: &Rig, program: PathBuf) {
    let agent = ClaudeCode::new(program);
    let url = rig.gateway.url();
    let environment = [
        ("CLAUDE_CODE_USE_BEDROCK", "1"),
        ("ANTHROPIC_BEDROCK_BASE_URL", url.as_str()),
        ("AWS_BEARER_TOKEN_BEDROCK", KEY),
        ("AWS_REGION", "us-east-1"),
    ];
    rig.requests();
    let prompt = "@say Now.\n@reason Why.\n@tool Bash {\"command\":\"cat note.txt\"}";
    let printed = agent.start(&environment, SONNET, prompt, &[]).await;
    assert!(answer(&printed).contains("secret-42"), "{printed:?}");
    let requests = rig.requests();
    let streamed: Vec<&Value> = requests
        .iter()
        .filter(|(operation, _)| operation == "InvokeModelWithResponseStream")
        .map(|(_, body)| body)
        .collect();
    assert_eq!(streamed.len(), 2, "the call, and its result");
    assert_eq!(all(&streamed[1]["messages"], "signature").len(), 1);
}

#[tokio::test]
async fn claude_code_keeps_tools_images_and_thinking_on_each_way() {
    if lane::is_left_to_full() {
        return;
    }
    let program = agent(PACKAGE, "claude", Release::Pinned).await.unwrap();
    let rig = rig().await;
    for model in [
        "claude-sonnet-4-5",
        "claude-sonnet-4-5-converse",
        "claude-opus-4-8",
        "claude-opus-4-8-converse",
        "nova",
    ] {
        keeps_a_conversation_with_tools(&rig, program.clone(), model).await;
    }
}

#[tokio::test]
async fn claude_code_compacts_waits_and_asks_again_on_each_way() {
    if lane::is_left_to_full() {
        return;
    }
    let program = agent(PACKAGE, "claude", Release::Pinned).await.unwrap();
    let rig = rig().await;
    for model in ["claude-sonnet-4-5", "claude-sonnet-4-5-converse"] {
        survives_trouble(&rig, program.clone(), model).await;
    }
}

#[tokio::test]
async fn claude_code_runs_a_tool_in_bedrock_mode() {
    if lane::is_left_to_full() {
        return;
    }
    let program = agent(PACKAGE, "claude", Release::Pinned).await.unwrap();
    works_in_bedrock_mode(&rig().await, program).await;
}

#[tokio::test]
async fn newest_claude_code_works_as_the_pinned_one() {
    if lane::is_left_to_full() {
        return;
    }
    let Some(program) = agent(PACKAGE, "claude", Release::Newest).await else {
        return;
    };
    let rig = rig().await;
    for model in ["claude-sonnet-4-5", "claude-sonnet-4-5-converse"] {
        keeps_a_conversation_with_tools(&rig, program.clone(), model).await;
        survives_trouble(&rig, program.clone(), model).await;
    }
    works_in_bedrock_mode(&rig, program).await;
}
