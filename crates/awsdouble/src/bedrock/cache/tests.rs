use serde_json::{Value, json};

use super::*;
use crate::bedrock::catalog::Catalog;
use crate::config::Config;

const SONNET: &str = "anthropic.claude-sonnet-4-5-20250929-v1:0";
const NOVA: &str = "amazon.nova-lite-v1:0";

fn rules(model: &str) -> Rules {
    let catalog = Catalog::new(&Config::default()).expect("the built-in data");
    let family = catalog.family_of(model).expect("a built-in model");
    family.rules.clone()
}

/// A text of this number of tokens.
fn text(name: &str, tokens: usize) -> Value {
    json!({ "text": format!("{name:x<width$}", width = tokens * 4) })
}

fn point(ttl: &str) -> Value {
    json!({ "cachePoint": { "type": "default", "ttl": ttl } })
}

fn request(system: Value, content: Value) -> Value {
    let message = [("role", json!("user")), ("content", content)];
    let messages = Value::from_iter([Value::from_iter(message)]);
    Value::from_iter([("system", system), ("messages", messages)])
}

/// An account's calls of one model in one region.
struct Client<'a> {
    cache: &'a PromptCache,
    scope: Scope<'a>,
    rules: Rules,
    /// Seconds since the start.
    at: u64,
}

impl<'a> Client<'a> {
    fn new(cache: &'a PromptCache, model: &'a str) -> Self {
        let scope = Scope {
            account: "123456789012",
            region: "us-east-1",
            model,
        };
        Self {
            cache,
            scope,
            rules: rules(model),
            at: 0,
        }
    }

    /// Read, written for five minutes, written for an hour, and other tokens.
    fn send(&self, request: &Value) -> (usize, usize, usize, usize) {
        let prompt = Prompt::read(request, &self.rules);
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(self.at);
        let used = self.cache.process(self.scope, &prompt, &self.rules, now);
        (used.read, used.written_5m, used.written_1h, used.plain)
    }
}

#[test]
fn the_first_request_writes_and_equal_prefixes_are_read() {
    let cache = PromptCache::default();
    let client = Client::new(&cache, SONNET);
    let first = request(
        json!([text("s", 1500), point("5m")]),
        json!([text("a", 10)]),
    );
    let other = request(
        json!([text("s", 1500), point("5m")]),
        json!([text("b", 20)]),
    );
    assert_eq!(client.send(&first), (0, 1500, 0, 10));
    assert_eq!(client.send(&other), (1500, 0, 0, 20));
    let changed = request(
        json!([text("t", 1500), point("5m")]),
        json!([text("a", 10)]),
    );
    assert_eq!(client.send(&changed), (0, 1500, 0, 10), "another text");
}

#[test]
fn accounts_regions_and_models_have_their_own_caches() {
    let cache = PromptCache::default();
    let client = Client::new(&cache, SONNET);
    let asked = request(json!([text("s", 1500), point("5m")]), json!([text("a", 1)]));
    client.send(&asked);
    let mut others = [(); 3].map(|()| Client::new(&cache, SONNET));
    others[0].scope.account = "210987654321";
    others[1].scope.region = "us-west-2";
    others[2].scope.model = "anthropic.claude-sonnet-4-20250514-v1:0";
    for other in &others {
        assert_eq!(other.send(&asked).0, 0, "{:?}", other.scope);
    }
    assert_eq!(client.send(&asked).0, 1500);
}

#[test]
fn a_point_below_the_minimum_of_the_model_is_ignored() {
    for (model, minimum) in [
        (SONNET, 1024),
        ("anthropic.claude-sonnet-4-20250514-v1:0", 1024),
        ("anthropic.claude-3-7-sonnet-20250219-v1:0", 1024),
        ("anthropic.claude-3-5-haiku-20241022-v1:0", 2048),
        ("anthropic.claude-haiku-4-5-20251001-v1:0", 4096),
        ("anthropic.claude-opus-4-5-20251101-v1:0", 4096),
        ("anthropic.claude-opus-4-6-v1", 4096),
        ("anthropic.claude-sonnet-4-6", 1024),
        ("anthropic.claude-opus-4-7", 4096),
        ("anthropic.claude-opus-4-8", 1024),
        ("anthropic.claude-sonnet-5", 1024),
        ("anthropic.claude-opus-5", 512),
        (NOVA, 1000),
    ] {
        let cache = PromptCache::default();
        let client = Client::new(&cache, model);
        for (tokens, written) in [(minimum - 1, 0), (minimum, minimum)] {
            let asked = request(
                json!([text("s", tokens), point("5m")]),
                json!([text("a", 1)]),
            );
            let (read, stored, _, plain) = client.send(&asked);
            assert_eq!((read, stored), (0, written), "{model} {tokens}");
            assert_eq!(plain, tokens - written + 1, "{model} {tokens}");
        }
    }
}

#[test]
fn a_prefix_lives_for_five_minutes_or_an_hour_and_a_read_renews_it() {
    let cache = PromptCache::default();
    let mut client = Client::new(&cache, SONNET);
    let asked = |ttl: &str| request(json!([text("s", 2000), point(ttl)]), json!([text("a", 1)]));
    client.send(&asked("5m"));
    for (at, read) in [(299, 2000), (598, 2000), (898, 0)] {
        client.at = at;
        assert_eq!(client.send(&asked("5m")).0, read, "after {at} s");
    }
    let hour = client.send(&asked("1h"));
    assert_eq!(hour, (0, 0, 2000, 1), "the lifetimes are apart");
    client.at += 3599;
    assert_eq!(client.send(&asked("1h")), (2000, 0, 0, 1));
    client.at += 3601;
    assert_eq!(client.send(&asked("1h")), (0, 0, 2000, 1));
}

#[test]
fn writes_are_counted_by_the_lifetime_of_their_points() {
    let cache = PromptCache::default();
    let client = Client::new(&cache, SONNET);
    let asked = |more: &str| {
        request(
            json!([text("s", 1100), point("1h")]),
            json!([
                text("a", 1200),
                point("5m"),
                text(more, 30),
                point("5m"),
                text("z", 4)
            ]),
        )
    };
    assert_eq!(client.send(&asked("b")), (0, 1230, 1100, 4));
    assert_eq!(client.send(&asked("c")), (2300, 30, 0, 4));
}

#[test]
fn a_point_of_claude_reads_a_prefix_up_to_twenty_blocks_before_it() {
    let turns = |count: usize| {
        let mut content = vec![text("first", 2000), point("5m")];
        content.extend((0..count).map(|index| text(&format!("{index} "), 3)));
        content.push(point("5m"));
        content
    };
    for (model, more, read) in [(SONNET, 19, 2000), (SONNET, 20, 0), (NOVA, 1, 0)] {
        let cache = PromptCache::default();
        let client = Client::new(&cache, model);
        let first = turns(0)[..2].to_vec();
        client.send(&request(json!([]), json!(first)));
        let mut later = turns(more);
        later.remove(1);
        let sent = client.send(&request(json!([]), json!(later)));
        assert_eq!(sent.0, read, "{model} {more}");
    }
}

#[test]
fn a_forced_tool_and_thinking_change_the_prefix_of_messages_only() {
    let cache = PromptCache::default();
    let client = Client::new(&cache, SONNET);
    let mut asked = request(
        json!([text("s", 1500), point("5m")]),
        json!([text("a", 1500), point("5m")]),
    );
    asked["toolConfig"] = json!({ "tools": [{ "toolSpec": { "name": "f",
        "inputSchema": { "json": { "type": "object" } } } }] });
    let system = client.send(&asked).1 - 1500;
    for (name, value) in [
        (
            "toolConfig",
            json!({ "tools": asked["toolConfig"]["tools"], "toolChoice": { "any": {} } }),
        ),
        (
            "additionalModelRequestFields",
            json!({ "thinking": { "type": "enabled", "budget_tokens": 2000 } }),
        ),
    ] {
        let mut changed = asked.clone();
        changed[name] = value;
        assert_eq!(client.send(&changed), (system, 1500, 0, 0), "{name}");
    }
}

#[test]
fn the_order_of_members_in_a_schema_counts_and_that_of_a_block_does_not() {
    let cache = PromptCache::default();
    let client = Client::new(&cache, SONNET);
    let asked = |tool: Value| {
        let mut asked = request(json!([text("s", 1500), point("5m")]), json!([text("a", 1)]));
        asked["toolConfig"] = json!({ "tools": [{ "toolSpec": tool }] });
        asked
    };
    let schema = |text: &str| -> Value { serde_json::from_str(text).expect("JSON") };
    let (ab, ba) = (schema(r#"{"a":1,"b":2}"#), schema(r#"{"b":2,"a":1}"#));
    client.send(&asked(
        json!({ "name": "f", "inputSchema": { "json": ab } }),
    ));
    let swapped = asked(json!({ "inputSchema": { "json": ab }, "name": "f" }));
    assert!(client.send(&swapped).0 > 1500);
    let reordered = asked(json!({ "name": "f", "inputSchema": { "json": ba } }));
    assert_eq!(client.send(&reordered).0, 0);
}

#[test]
fn models_with_implicit_caching_read_known_prefixes_in_steps() {
    let cache = PromptCache::default();
    let client = Client::new(&cache, "openai.gpt-5.6-sol");
    let turns = |count: usize| -> Value {
        let blocks = (0..count).map(|index| text(&format!("{index} "), 500));
        request(json!([]), blocks.collect())
    };
    assert_eq!(client.send(&turns(2)), (0, 0, 0, 1000));
    assert_eq!(
        client.send(&turns(3)),
        (0, 0, 0, 1500),
        "1000 is below the minimum"
    );
    assert_eq!(
        client.send(&turns(4)),
        (1408, 0, 0, 592),
        "1500 without its remainder"
    );
}
