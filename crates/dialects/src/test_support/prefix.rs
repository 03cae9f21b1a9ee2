//! Conversations that grow, and the comparison of what the gateway sends for them: see `translation/cache.rs`.
//! `PROPTEST_CASES` sets the number of cases.

mod render;

use proptest::{prelude::*, test_runner::Config};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use crate::translation::turns::NO_RESULT;

/// A part of a message.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    Text(String),
    Image,
    Pdf,
    Csv,
}

/// A part, and the lifetime of the cache point after it.
pub(crate) type Marked = (Part, Option<&'static str>);

/// A call of a tool and its result.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    id: &'static str,
    name: &'static str,
    is_custom: bool,
    point: Option<&'static str>,
    /// Absent if the client lost it.
    result: Option<Vec<Marked>>,
}

/// What is appended to a conversation at once: an answer, results, and what the user and the client say.
#[derive(Clone, Debug)]
pub(crate) struct Round {
    reasoning: Option<(String, Option<&'static str>)>,
    answer: Vec<Marked>,
    calls: Vec<Call>,
    /// A system message between the calls and their results.
    early_system: Option<Marked>,
    /// A result whose call the client lost.
    orphan: bool,
    system: Option<Marked>,
    user: Vec<Marked>,
    late_system: Option<Marked>,
}

/// A conversation, and settings that stay the same in all its requests.
#[derive(Clone, Debug)]
pub(crate) struct Growing {
    system: Vec<Marked>,
    first: Vec<Marked>,
    rounds: Vec<Round>,
    tool_point: Option<&'static str>,
    custom_tool: bool,
    /// `cache_control` of the body.
    point: Option<&'static str>,
    /// The gateway's setting.
    pub(crate) automatic: bool,
}

/// Fewer cases than usual, because each one has several requests.
pub(crate) fn config() -> Config {
    if std::env::var_os("PROPTEST_CASES").is_some() {
        Config::default()
    } else {
        Config::with_cases(48)
    }
}

fn any_point() -> impl Strategy<Value = Option<&'static str>> + Clone {
    prop_oneof![4 => Just(None), 2 => Just(Some("5m")), 1 => Just(Some("1h"))]
}

fn any_words() -> impl Strategy<Value = String> + Clone {
    prop_oneof![1 => Just(" ".to_owned()), 6 => "[a-z<é\"\\\\]{1,6}"]
}

fn any_text() -> impl Strategy<Value = Marked> + Clone {
    (any_words().prop_map(Part::Text), any_point())
}

fn any_part() -> impl Strategy<Value = Marked> + Clone {
    let part = prop_oneof![
        5 => any_words().prop_map(Part::Text),
        1 => Just(Part::Image),
        1 => Just(Part::Pdf),
        1 => Just(Part::Csv),
    ];
    (part, any_point())
}

fn any_call() -> impl Strategy<Value = Call> {
    (
        prop::sample::select(&["a", "b", "call 1", "functions.f:0"][..]),
        prop::sample::select(&["f", "mcp.read", "ü"][..]),
        prop::bool::weighted(0.2),
        any_point(),
        prop::option::weighted(0.9, prop::collection::vec(any_part(), 0..3)),
    )
        .prop_map(|(id, name, is_custom, point, result)| Call {
            id,
            name,
            is_custom,
            point,
            result,
        })
}

fn any_round() -> impl Strategy<Value = Round> {
    let system = || prop::option::weighted(0.15, any_text());
    (
        prop::option::weighted(0.3, ("[a-z]{1,6}", any_point())),
        prop::collection::vec(any_text(), 0..2),
        prop::collection::vec(any_call(), 0..3),
        (system(), system(), system()),
        prop::bool::weighted(0.1),
        prop::collection::vec(any_part(), 0..3),
    )
        .prop_map(
            |(reasoning, answer, calls, (early_system, system, late_system), orphan, user)| Round {
                reasoning,
                answer,
                calls,
                early_system,
                orphan,
                system,
                user,
                late_system,
            },
        )
}

/// Any conversation.
pub(crate) fn any_growing() -> impl Strategy<Value = Growing> {
    (
        prop::collection::vec(any_text(), 0..3),
        prop::collection::vec(any_part(), 1..3),
        prop::collection::vec(any_round(), 1..5),
        any_point(),
        any::<bool>(),
        any_point(),
        any::<bool>(),
    )
        .prop_map(
            |(system, first, rounds, tool_point, custom_tool, point, automatic)| Growing {
                system,
                first,
                rounds,
                tool_point,
                custom_tool,
                point,
                automatic,
            },
        )
}

impl Growing {
    /// The requests of the conversation, as `write` writes each of them.
    pub(crate) fn requests(&self, write: impl Fn(&Self, &[Round]) -> Value) -> Vec<String> {
        let lengths = 0..=self.rounds.len();
        lengths
            .map(|length| write(self, &self.rounds[..length]).to_string())
            .collect()
    }
}

/// Checks that what the gateway sends for the start of a conversation does not change when it grows. `sent` are the
/// upstream bodies of the requests in order; `None` for those that the gateway rejects.
#[track_caller]
pub(crate) fn check_prefixes(sent: &[Option<String>]) {
    let contents: Vec<Vec<String>> = sent.iter().flatten().map(|body| content(body)).collect();
    for pair in contents.windows(2) {
        let [before, after] = pair else { continue };
        let completed = before.iter().rev().take_while(|block| is_completion(block));
        let own = &before[..before.len() - completed.count()];
        assert!(
            after.starts_with(own),
            "the start changed\nbefore: {before:#?}\nafter: {after:#?}"
        );
    }
}

/// Whether a block can be one that completes the end of a request: a text, or the result of a call.
fn is_completion(block: &str) -> bool {
    let is_text = [r#"user {"text":"."}"#, r#"user {"type":"text","text":"."}"#].contains(&block);
    is_text || (block.starts_with("user {") && block.contains(NO_RESULT))
}

/// The tools and blocks of an upstream body in the order in which Bedrock reads them, without cache points.
fn content(body: &str) -> Vec<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Body<'a> {
        #[serde(borrow, default)]
        tool_config: Option<Tools<'a>>,
        #[serde(borrow, default)]
        tools: Vec<&'a RawValue>,
        #[serde(borrow, default)]
        system: Option<&'a RawValue>,
        #[serde(borrow)]
        messages: Vec<Message<'a>>,
    }
    #[derive(Deserialize)]
    struct Tools<'a> {
        #[serde(borrow)]
        tools: Vec<&'a RawValue>,
    }
    #[derive(Deserialize)]
    struct Message<'a> {
        role: &'a str,
        #[serde(borrow)]
        content: &'a RawValue,
    }
    let body: Body<'_> = serde_json::from_str(body).expect("an upstream body");
    let mut all = Vec::new();
    let mut add = |place: &str, blocks: Vec<&RawValue>| {
        let blocks = blocks.into_iter().filter_map(|block| plain(block.get()));
        all.extend(blocks.map(|block| format!("{place} {block}")));
    };
    let list = |raw: &RawValue| -> Vec<String> {
        let blocks: Result<Vec<&RawValue>, _> = serde_json::from_str(raw.get());
        match blocks {
            Ok(blocks) => blocks.iter().map(|block| block.get().to_owned()).collect(),
            Err(_) => vec![format!(r#"{{"type":"text","text":{}}}"#, raw.get())],
        }
    };
    add("tools", body.tools);
    if let Some(config) = body.tool_config {
        add("tools", config.tools);
    }
    let system = body.system.map(list).unwrap_or_default();
    all.extend(
        system
            .iter()
            .filter_map(|block| plain(block))
            .map(|block| format!("system {block}")),
    );
    for message in body.messages {
        let blocks = list(message.content);
        let blocks = blocks.iter().filter_map(|block| plain(block));
        all.extend(blocks.map(|block| format!("{} {block}", message.role)));
    }
    all
}

/// A block without the cache points in it; `None` if it is one.
fn plain(block: &str) -> Option<String> {
    if block.starts_with("{\"cachePoint\"") {
        return None;
    }
    if !block.contains("\"cache_control\"") {
        return Some(block.to_owned());
    }
    let mut value: Value = serde_json::from_str(block).expect("a block");
    unmark(&mut value);
    Some(value.to_string())
}

fn unmark(block: &mut Value) {
    if let Some(members) = block.as_object_mut() {
        members.shift_remove("cache_control");
    }
    let inside = block.get_mut("content").and_then(Value::as_array_mut);
    inside.into_iter().flatten().for_each(unmark);
}
