//! Long sessions of real agents: each request reads all that Bedrock has cached of the one before.
//!
//! The agents write their requests by themselves. What was read and written is in the invocation log of the simulated AWS,
//! which caches prefixes as Bedrock does.

use serde_json::{Value, json};

use super::{Rig, claude_code::ClaudeCode, codex::Codex, rig_with};
use crate::support::{
    agents::{Release, agent},
    clients::python_client,
    gateway::KEY,
    lane,
};

/// Prompts of a session. Each has one or two calls, so the agent sends two requests.
const PROMPTS: usize = 21;
/// A GPT whose calls are in AWS's invocation log; those of bedrock-mantle are not.
const GPT: &str = "us.openai.gpt-5.6-sol";
/// GPT caches prefixes in blocks of this many tokens.
/// <https://platform.openai.com/docs/guides/prompt-caching>
const BLOCK: u64 = 128;

/// Prompt tokens of a request.
#[derive(Clone, Copy, Debug)]
struct Usage {
    read: u64,
    written: u64,
    /// Neither read nor written.
    new: u64,
}

/// The requests of a session, as AWS logs them.
fn logged(rig: &Rig) -> Vec<Usage> {
    let log = rig.double.invocation_log();
    let count = |record: &Value, name: &str| record["input"][name].as_u64().unwrap_or_default();
    let usage: Vec<Usage> = log
        .iter()
        .map(|record| Usage {
            read: count(record, "cacheReadInputTokenCount"),
            written: count(record, "cacheWriteInputTokenCount"),
            new: count(record, "inputTokenCount"),
        })
        .collect();
    assert_eq!(usage.len(), 2 * PROMPTS, "no request failed: {usage:?}");
    usage
}

/// Claude reads the prefix up to the last cache point of the request before.
#[track_caller]
fn assert_reads_all_that_was_cached(rig: &Rig, name: &str) {
    let usage = logged(rig);
    for (number, pair) in usage.windows(2).enumerate() {
        let cached = pair[0].read + pair[0].written;
        assert!(cached > 1024, "{name}: request {number} of {usage:?}");
        assert_eq!(
            pair[1].read,
            cached,
            "{name}: request {} of {usage:?}",
            number + 1
        );
    }
}

/// GPT reads all blocks of the request before, without cache points.
#[track_caller]
fn assert_reads_all_blocks(rig: &Rig, name: &str) {
    let usage = logged(rig);
    for (number, pair) in usage.windows(2).enumerate() {
        let cached = (pair[0].read + pair[0].written + pair[0].new) / BLOCK * BLOCK;
        assert!(cached > 1024, "{name}: request {number} of {usage:?}");
        assert!(
            pair[1].read >= cached,
            "{name}: request {} of {usage:?}",
            number + 1
        );
    }
}

/// A prompt with one or two calls of a tool that runs commands.
fn prompt(number: usize, tool: &str, argument: &str) -> String {
    let commands: &[&str] = match number % 3 {
        0 => &["cat note.txt"],
        1 => &["seq 1 60"],
        _ => &["wc -l note.txt", "ls"],
    };
    let calls: Vec<String> = commands
        .iter()
        .map(|command| format!("@tool {tool} {}", json!({ argument: command })))
        .collect();
    format!(
        "@say Step {number}.\n@reason Step {number} needs the shell.\n{}",
        calls.join("\n")
    )
}

#[tokio::test]
async fn a_session_of_claude_code_reads_all_that_was_cached() {
    if lane::is_left_to_full() {
        return;
    }
    let program = agent(super::claude_code::PACKAGE, "claude", Release::Pinned).await;
    let program = program.unwrap();
    for model in ["claude-sonnet-4-5", "claude-sonnet-4-5-converse"] {
        let rig = rig_with("").await;
        let agent = ClaudeCode::new(program.clone());
        for number in 0..PROMPTS {
            let more: &[&str] = if number == 0 { &[] } else { &["--continue"] };
            let prompt = prompt(number, "Bash", "command");
            agent.ask(&rig, model, &prompt, more).await;
        }
        assert_reads_all_that_was_cached(&rig, model);
    }
}

#[tokio::test]
async fn a_session_of_codex_reads_all_that_was_cached() {
    if lane::is_left_to_full() {
        return;
    }
    let program = agent(super::codex::PACKAGE, "codex", Release::Pinned).await;
    let program = program.unwrap();
    for model in [GPT, "claude-sonnet-4-5"] {
        let rig = rig_with("automaticCache: true").await;
        let agent = Codex::new(program.clone(), &rig);
        for number in 0..PROMPTS {
            let prompt = prompt(number, "exec_command", "cmd");
            agent.ask(model, &prompt, number > 0).await;
        }
        if model == GPT {
            assert_reads_all_blocks(&rig, model);
        } else {
            assert_reads_all_that_was_cached(&rig, model);
        }
    }
}

#[tokio::test]
async fn a_session_of_a_langchain_agent_reads_all_that_was_cached() {
    if lane::is_left_to_full() {
        return;
    }
    for model in [GPT, "claude-sonnet-4-5"] {
        let rig = rig_with("automaticCache: true").await;
        let url = rig.gateway.openai_url();
        let environment = [
            ("OPENAI_BASE_URL", url.as_str()),
            ("OPENAI_API_KEY", KEY),
            ("MODEL", model),
            ("PROMPTS", &PROMPTS.to_string()),
        ];
        let printed = python_client("langchain/session.py", &environment).await;
        assert!(printed["messages"].as_u64() > Some(80), "{printed}");
        if model == GPT {
            assert_reads_all_blocks(&rig, model);
        } else {
            assert_reads_all_that_was_cached(&rig, model);
        }
    }
}
