use serde_json::json;

use super::super::script::{ScriptedFault, ToolCall};
use super::*;

fn scripted(prompt: &str, more: &Value) -> Script {
    let mut request = json!({ "messages": [{ "role": "user", "content": [{ "text": prompt }] }] });
    let object = request.as_object_mut().unwrap();
    object.extend(more.as_object().unwrap().clone());
    let mut script = Script::parse(prompt).unwrap();
    reply(&mut script, "amazon.nova-2-lite-v1:0", &request);
    script
}

fn said(prompt: &str) -> String {
    scripted(prompt, &json!({})).say.unwrap()
}

fn weather(more: &Value) -> Value {
    let mut config = json!({ "tools": [
        { "toolSpec": { "name": "get_weather", "description": "Get the weather of a city.", "inputSchema": { "json": {
            "type": "object", "required": ["city"], "properties": {
                "city": { "type": "string" },
                "unit": { "type": "string", "enum": ["celsius", "fahrenheit"] } } } } } },
        { "toolSpec": { "name": "add", "description": "Add two numbers.", "inputSchema": { "json": {
            "type": "object", "required": ["a", "b"], "properties": {
                "a": { "type": "integer" }, "b": { "type": "number" } } } } } }] });
    let object = config.as_object_mut().unwrap();
    object.extend(more.as_object().unwrap().clone());
    json!({ "toolConfig": config })
}

#[test]
fn prompts_have_sensible_replies() {
    for (prompt, expected) in [
        ("Hello", "Hello! I am a simulated model"),
        ("hi there!", "Hello!"),
        ("Say good morning.", "good morning."),
        ("Reply with exactly \"OK\".", "OK"),
        ("What is 6 * 7?", "6 * 7 = 42"),
        ("what is 6*7", "6 * 7 = 42"),
        ("7 / 2", "7 / 2 = 3.5"),
        ("Count to 5.", "1, 2, 3, 4, 5"),
        ("Count from 1 to 3", "1, 2, 3"),
        ("Write a haiku about rain", "A request goes out."),
        (
            "Which model are you?",
            "I am a simulated model in the place of amazon.nova-2-lite-v1:0",
        ),
        ("help", "I am a simulated model with a few rules."),
        (
            "Why is the sky blue?",
            "This is a simulated response; no model read your prompt: \"Why is the sky blue?\".",
        ),
    ] {
        let text = said(prompt);
        assert!(text.starts_with(expected), "{prompt}: {text}");
    }
    for prompt in ["2 + 3 * 4", "Is 2026-11-28 a Saturday?", "and/or", "1 / 0"] {
        let text = said(prompt);
        assert!(text.starts_with("This is a simulated"), "{prompt}: {text}");
    }
}

#[test]
fn a_situation_has_the_effect_of_its_directive() {
    for (word, directive) in SITUATIONS {
        let expected = Script::parse(directive).unwrap();
        for prompt in [
            format!("simulate {word}"),
            format!("Simulate a {word}, please."),
        ] {
            let script = scripted(&prompt, &json!({}));
            assert_eq!(script.fault, expected.fault, "{prompt}");
            assert!(script.slow >= expected.slow, "{prompt}");
            assert!(HELP.contains(word), "{word}");
        }
    }
    assert_eq!(said("simulate"), HELP);
}

#[test]
fn directives_of_the_prompt_take_precedence() {
    assert_eq!(said("@say exactly this"), "exactly this");
    let script = scripted("@error ThrottlingException", &json!({}));
    assert!(matches!(script.fault, Some(ScriptedFault::Error { .. })));
    assert_eq!(
        scripted("@slow 2s\nHello", &json!({})).slow,
        Duration::from_secs(2)
    );
}

#[test]
fn a_prompt_about_an_offered_tool_calls_it_with_its_arguments() {
    let none = json!({});
    for (prompt, name, input) in [
        (
            "What's the weather in Paris?",
            "get_weather",
            json!({ "city": "Paris" }),
        ),
        (
            "What is the weather in New York in fahrenheit?",
            "get_weather",
            json!({ "city": "New York", "unit": "fahrenheit" }),
        ),
        (
            "weather for berlin",
            "get_weather",
            json!({ "city": "berlin" }),
        ),
        ("Please add 2 and 3.5.", "add", json!({ "a": 2, "b": 3.5 })),
        (
            "Use get_weather for \"Oslo\"",
            "get_weather",
            json!({ "city": "Oslo" }),
        ),
    ] {
        let script = scripted(prompt, &weather(&none));
        let name = name.to_owned();
        assert_eq!(script.tools, [ToolCall { name, input }], "{prompt}");
        assert_eq!(script.say, None, "{prompt}");
    }
    assert!(scripted("Hello", &weather(&none)).tools.is_empty());
}

#[test]
fn a_required_tool_is_called_whatever_the_prompt_is() {
    let named = scripted(
        "Hello",
        &weather(&json!({ "toolChoice": { "tool": { "name": "add" } } })),
    );
    assert_eq!(named.tools[0].name, "add");
    let any = scripted("Hello", &weather(&json!({ "toolChoice": { "any": {} } })));
    assert_eq!(any.tools[0].name, "get_weather");
}

#[test]
fn a_tool_result_becomes_the_reply() {
    let mut request = weather(&json!({}));
    request["messages"] = json!([
        { "role": "user", "content": [{ "text": "What's the weather in Paris?" }] },
        { "role": "assistant", "content": [{ "toolUse": { "toolUseId": "t1", "name": "get_weather", "input": {} } }] },
        { "role": "user", "content": [{ "toolResult": { "toolUseId": "t1", "content": [{ "text": "18 °C, cloudy" }] } }] }]);
    let mut script = Script::parse("").unwrap();
    reply(&mut script, "m", &request);
    assert!(script.tools.is_empty());
    assert_eq!(
        script.say.as_deref(),
        Some("get_weather returned: 18 °C, cloudy")
    );
}

#[test]
fn a_schema_of_the_output_is_left_to_the_writer() {
    let schema = json!({ "outputConfig": { "textFormat": { "structure": { "jsonSchema": {
        "schema": "{\"type\":\"object\"}" } } } } });
    let script = scripted("Hello", &schema);
    assert_eq!((script.say, script.text), (None, String::new()));
}

#[test]
fn streams_have_one_word_in_each_event() {
    let script = scripted("Say one two three", &json!({}));
    assert_eq!(script.pieces("one two three"), ["one ", "two ", "three"]);
    assert_eq!(script.slow, WORD_PAUSE);
}
