use std::time::Duration;

use http::HeaderMap;
use serde_json::{Value, json};

use super::*;

const TARGET: u64 = 1;

fn usage(read: u64, write: u64) -> TokenUsage {
    TokenUsage {
        cache_read_input_tokens: read,
        cache_write_input_tokens: write,
        ..TokenUsage::default()
    }
}

fn outline(body: &Value) -> Outline {
    Outline::read(&HeaderMap::new(), body.to_string().as_bytes(), false).unwrap()
}

/// A request of Messages with a conversation of several turns.
fn request() -> Value {
    json!({
        "model": "claude",
        "max_tokens": 1000,
        "metadata": { "user_id": "user_1_account__session_2" },
        "thinking": { "type": "enabled", "budget_tokens": 2000 },
        "tool_choice": { "type": "auto" },
        "tools": [
            { "name": "read", "description": "Reads", "input_schema": { "type": "object", "properties": { "path": { "type": "string" } } } },
            { "name": "write", "description": "Writes", "input_schema": { "type": "object" }, "cache_control": { "type": "ephemeral" } }
        ],
        "system": [{ "type": "text", "text": "You help.", "cache_control": { "type": "ephemeral" } }],
        "messages": [
            { "role": "user", "content": "Fix the test." },
            { "role": "assistant", "content": [{ "type": "tool_use", "id": "t1", "name": "read", "input": { "path": "a" } }] },
            { "role": "user", "content": [{ "type": "tool_result", "tool_use_id": "t1", "content": "text" }] },
            { "role": "assistant", "content": "Done." },
            { "role": "user", "content": [{ "type": "text", "text": "Thanks.", "cache_control": { "type": "ephemeral" } }] }
        ]
    })
}

/// The next request of the same client: the cache point moves to the new last message.
fn next(request: &Value) -> Value {
    let mut next = request.clone();
    let messages = next["messages"].as_array_mut().unwrap();
    let last = messages.last_mut().unwrap();
    last["content"] = json!("Thanks.");
    messages.push(json!({ "role": "assistant", "content": "You are welcome." }));
    messages.push(json!({ "role": "user", "content": [
        { "type": "text", "text": "More.", "cache_control": { "type": "ephemeral" } }] }));
    next
}

/// Sends a request whose whole prefix is written, then `second`, of which `read` tokens are read.
async fn second(second: &Value, wait: Duration, target: u64, read: u64) -> Option<CacheBreak> {
    let store = Arc::new(Conversations::default());
    let first = store.open("client", "claude", outline(&request()));
    assert_eq!(first.report(), "new");
    assert_eq!(first.close(&usage(0, 5000), TARGET), None);
    tokio::time::advance(wait).await;
    let model = second["model"].as_str().unwrap().to_owned();
    let second = store.open("client", &model, outline(second));
    second.close(&usage(read, 6000 - read), target)
}

fn found(part: Part, message: Option<usize>) -> Difference {
    Difference { part, message }
}

#[tokio::test(start_paused = true)]
async fn a_continued_conversation_that_reads_its_prefix_is_no_break() {
    let soon = Duration::from_secs(20);
    assert_eq!(second(&next(&request()), soon, TARGET, 5000).await, None);
    assert_eq!(second(&request(), soon, TARGET, 5000).await, None, "again");
}

type Change = fn(&mut Value);

/// Changes of a request, and what they are called.
#[expect(clippy::too_many_lines, reason = "a table")]
fn planted() -> [(&'static str, Change, Difference); 17] {
    [
        (
            "a timestamp in the system prompt",
            |body| body["system"][0]["text"] = json!("You help. It is 12:01."),
            found(Part::System, None),
        ),
        (
            "a system prompt that becomes a message",
            |body| {
                body["system"] = json!([]);
                let system = json!({ "role": "system", "content": "You help." });
                body["messages"].as_array_mut().unwrap().insert(1, system);
            },
            found(Part::System, None),
        ),
        (
            "reordered tools",
            |body| body["tools"].as_array_mut().unwrap().reverse(),
            found(Part::Tools, None),
        ),
        (
            "a changed schema",
            |body| body["tools"][0]["input_schema"]["properties"]["path"]["type"] = json!("number"),
            found(Part::Tools, None),
        ),
        (
            "reordered members of a schema",
            |body| {
                body["tools"][0]["input_schema"] =
                    json!({ "properties": { "path": { "type": "string" } }, "type": "object" });
            },
            found(Part::Tools, None),
        ),
        (
            "another tool",
            |body| {
                body["tools"]
                    .as_array_mut()
                    .unwrap()
                    .push(json!({ "name": "new", "input_schema": {} }));
            },
            found(Part::Tools, None),
        ),
        (
            "a removed tool",
            |body| drop(body["tools"].as_array_mut().unwrap().remove(0)),
            found(Part::Tools, None),
        ),
        (
            "an edited turn",
            |body| body["messages"][3]["content"] = json!("Done!"),
            found(Part::Messages, Some(3)),
        ),
        (
            "an edited first message",
            |body| body["messages"][0]["content"] = json!("Fix the test now."),
            found(Part::Messages, Some(0)),
        ),
        (
            "a tool call with another id",
            |body| body["messages"][1]["content"][0]["id"] = json!("t9"),
            found(Part::Messages, Some(1)),
        ),
        (
            "a removed turn",
            |body| drop(body["messages"].as_array_mut().unwrap().drain(1..3)),
            found(Part::Messages, Some(1)),
        ),
        (
            "a shorter conversation",
            |body| body["messages"].as_array_mut().unwrap().truncate(3),
            found(Part::Messages, Some(3)),
        ),
        (
            "another model",
            |body| body["model"] = json!("other"),
            found(Part::Model, None),
        ),
        (
            "another tool choice",
            |body| body["tool_choice"] = json!({ "type": "any" }),
            found(Part::Parameters, None),
        ),
        (
            "another budget of thinking",
            |body| body["thinking"]["budget_tokens"] = json!(4000),
            found(Part::Parameters, None),
        ),
        (
            "another lifetime",
            |body| body["system"][0]["cache_control"] = json!({ "type": "ephemeral", "ttl": "1h" }),
            found(Part::CachePoints, None),
        ),
        (
            "a removed cache point",
            |body| {
                drop(
                    body["system"][0]
                        .as_object_mut()
                        .unwrap()
                        .remove("cache_control"),
                );
            },
            found(Part::CachePoints, None),
        ),
    ]
}

#[tokio::test(start_paused = true)]
async fn each_planted_break_has_the_name_of_what_changed() {
    let soon = Duration::from_secs(20);
    for (name, change, expected) in planted() {
        let mut body = next(&request());
        change(&mut body);
        let difference = second(&body, soon, TARGET, 500).await;
        let expected = CacheBreak {
            difference: expected,
            lost: 4500,
        };
        assert_eq!(difference, Some(expected), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn breaks_without_a_change_are_of_the_circumstances() {
    let body = next(&request());
    let soon = Duration::from_secs(20);
    let late = Duration::from_secs(301);
    for (wait, target, part) in [
        (late, TARGET, Part::Expired),
        (soon, 2, Part::Target),
        (soon, TARGET, Part::Unknown),
    ] {
        let difference = second(&body, wait, target, 0).await.unwrap().difference;
        assert_eq!(difference, found(part, None));
    }
}

#[tokio::test(start_paused = true)]
async fn an_hour_long_cache_expires_after_an_hour() {
    let text = request()
        .to_string()
        .replace("\"ephemeral\"", "\"ephemeral\",\"ttl\":\"1h\"");
    let body: Value = serde_json::from_str(&text).unwrap();
    for (minutes, part) in [(59, Part::Unknown), (61, Part::Expired)] {
        let store = Arc::new(Conversations::default());
        let first = store.open("c", "m", outline(&body));
        assert_eq!(first.close(&usage(0, 5000), TARGET), None);
        tokio::time::advance(Duration::from_mins(minutes)).await;
        let lost = store
            .open("c", "m", outline(&body))
            .close(&usage(0, 5000), TARGET);
        assert_eq!(lost.unwrap().difference.part, part, "{minutes}");
    }
}

#[test]
fn the_report_names_the_change_before_the_usage_is_known() {
    let store = Arc::new(Conversations::default());
    store
        .open("client", "claude", outline(&request()))
        .close(&usage(0, 5000), TARGET);
    let report = |body: &Value| store.open("client", "claude", outline(body)).report();
    assert_eq!(
        report(&next(&request())),
        "changed=none; cached-tokens=5000"
    );
    let mut edited = next(&request());
    edited["messages"][3]["content"] = json!("Done!");
    assert_eq!(report(&edited), "changed=messages[3]; cached-tokens=5000");
}

#[test]
fn subagents_and_other_clients_are_other_conversations() {
    let store = Arc::new(Conversations::default());
    let main = store.open("client", "claude", outline(&request()));
    main.close(&usage(0, 5000), TARGET);
    // The same session: a title of the conversation, and a subagent with its own tools.
    let mut title = request();
    title["system"][0]["text"] = json!("Write a title.");
    title["tools"] = json!([]);
    title["messages"].as_array_mut().unwrap().truncate(1);
    let mut subagent = title.clone();
    subagent["messages"][0]["content"] = json!("Search for it.");
    for body in [&title, &subagent] {
        let other = store.open("client", "claude", outline(body));
        assert_eq!(other.report(), "new");
        assert_eq!(other.close(&usage(0, 900), TARGET), None);
    }
    let other_client = store.open("other", "claude", outline(&request()));
    assert_eq!(other_client.report(), "new");
    let main = store.open("client", "claude", outline(&next(&request())));
    assert_eq!(main.close(&usage(5000, 200), TARGET), None);
    let again = store.open("client", "claude", outline(&next(&request())));
    assert_eq!(again.report(), "changed=none; cached-tokens=5200");
}

#[test]
fn memory_is_bounded() {
    let store = Arc::new(Conversations::default());
    let mut long = request();
    let messages = long["messages"].as_array_mut().unwrap();
    messages.extend((0..1500).map(|index| json!({ "role": "user", "content": index.to_string() })));
    for client in 0..1000 {
        let conversation = store.open(&client.to_string(), "claude", outline(&long));
        conversation.close(&usage(0, 5000), TARGET);
    }
    let entries = store.lock();
    assert!(entries.hashes <= MAX_HASHES, "{}", entries.hashes);
    let all = entries.by_session.iter().flat_map(|(_, requests)| requests);
    let counted: usize = all.map(Request::hashes).sum();
    assert_eq!(counted, entries.hashes);
    assert!(entries.by_session.len() > 600);
    drop(entries);
    for message in 0..20 {
        let mut body = request();
        body["messages"][0]["content"] = json!(format!("{message}"));
        body["messages"][1]["content"][0]["id"] = json!(format!("{message}"));
        let conversation = store.open("client", "claude", outline(&body));
        conversation.close(&usage(0, 5000), TARGET);
    }
    let counts = store.lock();
    assert!(
        counts
            .by_session
            .iter()
            .all(|(_, requests)| requests.len() <= MAX_CONVERSATIONS)
    );
}
