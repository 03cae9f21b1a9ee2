//! Prompt caching through the gateway: long sessions read from Bedrock's cache what the same requests read without a
//! gateway, and cache points are where Bedrock accepts them.

mod accounts;
mod breaks;
mod collect;
mod families;
mod places;
mod session;
mod system_messages;
mod wire;

use std::sync::atomic::{AtomicUsize, Ordering};

use session::{Kind, Marks, TURNS};
use wire::{Api, Wire};

use crate::rig::Rig;

const CLAUDE: &str = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";
const OPUS: &str = "us.anthropic.claude-opus-4-8";
const NOVA: &str = "us.amazon.nova-2-lite-v1:0";
const GPT: &str = "us.openai.gpt-5.6-sol";
const GPT_ON_MANTLE: &str = "openai.gpt-5.6-sol";

/// A gateway for many sessions, each with a number of its own, so that none reads what another has written.
struct Gateway {
    rig: Rig,
    sessions: AtomicUsize,
}

/// A gateway in front of Claude by both APIs and of GPT.
async fn gateway(automatic: bool) -> Rig {
    let document = format!(
        "clients: {{anonymous: true}}\nautomaticCache: {automatic}\nendpoints: {{bedrockMantle: '{{mantle}}'}}\nmodels:\n\
         - {{name: converse, targets: [{{modelId: '{CLAUDE}', api: Converse}}]}}\n\
         - {{name: invoke, targets: [{{modelId: '{CLAUDE}'}}]}}\n\
         - {{name: opus, targets: [{{modelId: '{OPUS}'}}]}}\n\
         - {{name: nova, targets: [{{modelId: '{NOVA}'}}]}}\n\
         - {{name: gpt, targets: [{{modelId: '{GPT}'}}]}}\n\
         - {{name: gpt-on-mantle, targets: [{{modelId: '{GPT_ON_MANTLE}'}}]}}\n"
    );
    Rig::with_document(&document).await
}

/// Tokens that each request of a session reads from the cache without a gateway.
async fn directly(kind: &Kind, api: Api, model: &str) -> Vec<u64> {
    Wire::direct(api, model).await.run(kind).await
}

/// Checks that a session by the gateway reads the expected tokens, with complete responses and with streams.
async fn check(gateway: &Gateway, kind: &Kind, (api, model): (Api, &str), expected: &[u64]) {
    for is_streamed in [false, true] {
        let session = gateway.sessions.fetch_add(1, Ordering::Relaxed);
        let mut client = Wire::of_client(api, model, &gateway.rig).in_session(session);
        if is_streamed {
            client = client.streamed();
        }
        let read = client.run(kind).await;
        let name = format!(
            "{} by {api:?} to {model}, streamed {is_streamed}",
            kind.name
        );
        assert_eq!(read, expected, "{name}");
        assert_eq!(read.len(), TURNS);
        assert_eq!(read[0], 0, "{name}: nothing is cached yet");
        let misses = read.iter().skip(1).filter(|tokens| **tokens == 0).count();
        assert_eq!(misses, 0, "{name}: {read:?}");
        assert!(
            read[TURNS - 1] > 2 * read[1],
            "{name}: the conversation is not read: {read:?}"
        );
    }
}

async fn reads_what_it_reads_directly(kind: &Kind) {
    let gateway = &Gateway {
        rig: gateway(kind.marks == Marks::Automatic).await,
        sessions: AtomicUsize::new(0),
    };
    let converse = directly(kind, Api::Converse, CLAUDE).await;
    for api in [Api::Chat, Api::Responses, Api::Messages, Api::Converse] {
        check(gateway, kind, (api, "converse"), &converse).await;
    }
    for (name, model) in [("invoke", CLAUDE), ("opus", OPUS)] {
        let invoke = directly(kind, Api::InvokeModel, model).await;
        check(gateway, kind, (Api::Messages, name), &invoke).await;
        if model == CLAUDE {
            check(gateway, kind, (Api::InvokeModel, name), &invoke).await;
        }
    }
    for (api, name, model) in [
        (Api::Chat, "gpt", GPT),
        (Api::Responses, "gpt", GPT),
        (Api::Responses, "gpt-on-mantle", GPT_ON_MANTLE),
    ] {
        let expected = directly(kind, api, model).await;
        check(gateway, kind, (api, name), &expected).await;
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
