//! Codex, not interactive, with a provider of its own for Responses.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::{LONG, Rig, all, rig};
use crate::support::{
    agents::{Printed, Release, Workspace, agent, mcp_server},
    gateway::KEY,
    lane,
};

pub(super) const PACKAGE: &str = "@openai/codex";

pub(super) struct Codex {
    program: PathBuf,
    place: Workspace,
}

impl Codex {
    pub(super) fn new(program: PathBuf, rig: &Rig) -> Self {
        let place = Workspace::new();
        let settings = format!(
            r#"
model_provider = "bedrock"
approval_policy = "never"
sandbox_mode = "danger-full-access"
check_for_update_on_startup = false
analytics = {{ enabled = false }}

[model_providers.bedrock]
name = "Bedrock"
base_url = "{}"
env_key = "BEDROCK_GATEWAY_KEY"
wire_api = "responses"

[mcp_servers.demo]
command = "node"
args = ["{}"]
"#,
            rig.gateway.openai_url(),
            mcp_server()
        );
        place.write("home/.codex/config.toml", settings);
        Self { program, place }
    }

    /// Sends a prompt in a new conversation, or in the last one.
    pub(super) async fn ask(&self, model: &str, prompt: &str, again: bool) -> Printed {
        let mut arguments = vec!["exec", "--skip-git-repo-check", "--json", "-m", model];
        if again {
            arguments.extend(["resume", "--last"]);
        }
        arguments.push(prompt);
        let home = self.place.path("home/.codex");
        let environment = [("BEDROCK_GATEWAY_KEY", KEY), ("CODEX_HOME", &home)];
        self.place
            .run(&self.program, &arguments, &environment)
            .await
    }
}

/// The items of a turn that succeeded.
#[track_caller]
fn items(printed: &Printed) -> Vec<Value> {
    let done = printed.event("a result", |event| event["type"] == "turn.completed");
    assert!(done["usage"]["input_tokens"].as_u64() > Some(0), "{done}");
    let events = printed.events().into_iter();
    events
        .filter(|event| event["type"] == "item.completed")
        .map(|event| event["item"].clone())
        .collect()
}

/// The last message of a turn that succeeded.
#[track_caller]
fn answer(printed: &Printed) -> String {
    let mut items = items(printed);
    items.retain(|item| item["type"] == "agent_message");
    items.last().unwrap()["text"].as_str().unwrap().to_owned()
}

/// Three turns of one conversation with a tool each: a command, an image, and the tool of an MCP server.
async fn keeps_a_conversation_with_tools(rig: &Rig, program: PathBuf, model: &str) {
    let agent = Codex::new(program, rig);
    let image = agent.place.path("work/red.png");
    let command = json!({"cmd": "printf made > made.txt; cat note.txt"});
    let native = model.starts_with("gpt");
    let weather = "mcp__demo__get_weather";
    let shown = if model == "gpt-oss" {
        "image"
    } else {
        "[image png, 80 bytes]"
    };
    rig.requests();
    for (turn, (tool, input, seen)) in [
        ("exec_command", command, "secret-42"),
        ("view_image", json!({"path": image}), shown),
        (weather, json!({"city": "Paris"}), "Sunny in Paris"),
    ]
    .into_iter()
    .enumerate()
    {
        let prompt = format!("@say Step {turn}.\n@reason About {turn}.\n@tool {tool} {input}");
        let printed = agent.ask(model, &prompt, turn > 0).await;
        let answer = answer(&printed);
        assert!(answer.contains(seen), "{model} {tool}: {answer}");
        let thought: Vec<Value> = items(&printed)
            .into_iter()
            .filter(|item| item["type"] == "reasoning")
            .map(|item| item["text"].clone())
            .collect();
        assert_eq!(thought, [json!(format!("About {turn}."))], "{model}");
    }
    assert_eq!(agent.place.read("work/made.txt"), "made");

    let requests = rig.requests();
    assert_eq!(
        requests.len(),
        6,
        "two for each turn, and no request was refused"
    );
    let (_, last) = requests.last().unwrap();
    let sealed = if native {
        all(&last["input"], "encrypted_content")
    } else {
        all(&last["messages"], "signature")
    };
    assert_eq!(
        sealed.len(),
        3,
        "{model}: the reasoning of each turn comes back"
    );
    let names = [&last["tools"], &last["toolConfig"]].map(|tools| all(tools, "name"));
    let names = names.concat();
    // In a namespace it has its short name.
    let weather = if model == "gpt" {
        "get_weather"
    } else {
        weather
    };
    for name in ["exec_command", "view_image", weather] {
        assert!(names.contains(&name), "{model}: {names:?}");
    }
}

async fn survives_trouble(rig: &Rig, program: PathBuf, model: &str) {
    let stream = if model.starts_with("gpt") {
        "CreateResponse"
    } else {
        "ConverseStream"
    };
    let agent = Codex::new(program, rig);
    rig.requests();
    rig.refuse_as_too_long(stream);
    let printed = agent.ask(model, "@say first", false).await;
    let failed = printed.event("a failure", |event| event["type"] == "turn.failed");
    let said = failed["error"]["message"].as_str().unwrap();
    assert!(
        said.starts_with("Codex ran out of room in the model's context window"),
        "{model}: {said}"
    );
    assert_eq!(rig.requests().len(), 1);

    rig.throttle(stream);
    let printed = agent.ask(model, "@say second", false).await;
    assert_eq!(answer(&printed), "second", "{model}");
    let retry = printed.event("a retry", |event| event["type"] == "error");
    assert!(
        retry["message"].as_str().unwrap().contains("429"),
        "{retry}"
    );
    assert_eq!(rig.requests().len(), 6);

    rig.cut(stream);
    let printed = agent.ask(model, &format!("@say {LONG}"), false).await;
    assert_eq!(answer(&printed), LONG, "{model}: whole, and once");
    assert_eq!(rig.requests().len(), 2);
}

#[tokio::test]
async fn codex_keeps_tools_images_and_reasoning_on_each_way() {
    if lane::is_left_to_full() {
        return;
    }
    let program = agent(PACKAGE, "codex", Release::Pinned).await.unwrap();
    let rig = rig().await;
    for model in ["claude-sonnet-4-5", "nova", "gpt", "gpt-oss"] {
        keeps_a_conversation_with_tools(&rig, program.clone(), model).await;
    }
}

#[tokio::test]
async fn codex_reports_a_full_context_waits_and_asks_again_on_each_way() {
    if lane::is_left_to_full() {
        return;
    }
    let program = agent(PACKAGE, "codex", Release::Pinned).await.unwrap();
    let rig = rig().await;
    for model in ["claude-sonnet-4-5", "gpt"] {
        survives_trouble(&rig, program.clone(), model).await;
    }
}

#[tokio::test]
async fn newest_codex_works_as_the_pinned_one() {
    if lane::is_left_to_full() {
        return;
    }
    let Some(program) = agent(PACKAGE, "codex", Release::Newest).await else {
        return;
    };
    let rig = rig().await;
    for model in ["claude-sonnet-4-5", "gpt"] {
        keeps_a_conversation_with_tools(&rig, program.clone(), model).await;
        survives_trouble(&rig, program.clone(), model).await;
    }
}
