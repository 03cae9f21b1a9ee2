//! Prompt caching through the gateway: long sessions read from Bedrock's cache what the same requests read without a
//! gateway, and cache points are where Bedrock accepts them.

mod places;
mod session;
mod system_messages;
mod wire;

use session::{Kind, Marks, TURNS};
use wire::{Api, Wire};

use crate::rig::Rig;

const CLAUDE: &str = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";
const OPUS: &str = "us.anthropic.claude-opus-4-8";
const GPT: &str = "us.openai.gpt-5.6-sol";
const GPT_ON_MANTLE: &str = "openai.gpt-5.6-sol";

/// A gateway in front of Claude by both APIs and of GPT.
async fn gateway(automatic: bool) -> Rig {
    let document = format!(
        "clients: {{anonymous: true}}\nautomaticCache: {automatic}\nendpoints: {{bedrockMantle: '{{mantle}}'}}\nmodels:\n\
         - {{name: converse, targets: [{{modelId: '{CLAUDE}', api: Converse}}]}}\n\
         - {{name: invoke, targets: [{{modelId: '{CLAUDE}'}}]}}\n\
         - {{name: opus, targets: [{{modelId: '{OPUS}'}}]}}\n\
         - {{name: nova, targets: [{{modelId: 'us.amazon.nova-2-lite-v1:0'}}]}}\n\
         - {{name: gpt, targets: [{{modelId: '{GPT}'}}]}}\n\
         - {{name: gpt-on-mantle, targets: [{{modelId: '{GPT_ON_MANTLE}'}}]}}\n"
    );
    Rig::with_document(&document).await
}

/// Tokens that each request of a session reads from the cache, by the gateway.
async fn by_gateway(kind: &Kind, api: Api, model: &str) -> Vec<u64> {
    let rig = gateway(kind.marks == Marks::Automatic).await;
    Wire::of_client(api, model, &rig).run(kind).await
}

/// The same without a gateway.
async fn directly(kind: &Kind, api: Api, model: &str) -> Vec<u64> {
    Wire::direct(api, model).await.run(kind).await
}

#[track_caller]
fn check(name: &str, kind: &Kind, read: &[u64], expected: &[u64]) {
    assert_eq!(read, expected, "{} by {name}", kind.name);
    assert_eq!(read.len(), TURNS);
    assert_eq!(read[0], 0, "{} by {name}: nothing is cached yet", kind.name);
    let misses = read.iter().skip(1).filter(|tokens| **tokens == 0).count();
    assert_eq!(misses, 0, "{} by {name}: {read:?}", kind.name);
    assert!(
        read[TURNS - 1] > 2 * read[1],
        "{} by {name}: the conversation is not read: {read:?}",
        kind.name
    );
}

async fn reads_what_it_reads_directly(kind: &Kind) {
    let converse = directly(kind, Api::Converse, CLAUDE).await;
    for api in [Api::Chat, Api::Responses, Api::Messages] {
        let read = by_gateway(kind, api, "converse").await;
        check(&format!("{api:?} to Converse"), kind, &read, &converse);
    }
    for (name, model) in [("invoke", CLAUDE), ("opus", OPUS)] {
        let invoke = directly(kind, Api::InvokeModel, model).await;
        let read = by_gateway(kind, Api::Messages, name).await;
        check(&format!("Messages to {model}"), kind, &read, &invoke);
    }
    for (api, name, model) in [
        (Api::Chat, "gpt", GPT),
        (Api::Responses, "gpt", GPT),
        (Api::Responses, "gpt-on-mantle", GPT_ON_MANTLE),
    ] {
        let expected = directly(kind, api, model).await;
        let read = by_gateway(kind, api, name).await;
        check(&format!("{api:?} to {model}"), kind, &read, &expected);
    }
}

#[tokio::test]
async fn a_session_of_claude_code_reads_what_it_reads_directly() {
    reads_what_it_reads_directly(&session::CLAUDE_CODE).await;
}

#[tokio::test]
async fn a_session_of_codex_reads_what_it_reads_directly() {
    reads_what_it_reads_directly(&session::CODEX).await;
}

#[tokio::test]
async fn a_session_of_a_langchain_agent_reads_what_it_reads_directly() {
    reads_what_it_reads_directly(&session::LANGCHAIN).await;
}
