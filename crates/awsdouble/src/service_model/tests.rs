#![expect(clippy::needless_pass_by_value, reason = "rows are written in place")]

use serde_json::{Value, json};

use super::*;

const RUNTIME: &str = "bedrock-runtime";

#[track_caller]
fn converse(name: &str, body: &Value, expected: &str) {
    let found = check(RUNTIME, "Converse", body).err();
    let found = found.map_or_else(String::new, |error| {
        format!("{}: {}", error.code, error.message)
    });
    if expected.is_empty() {
        assert_eq!(found, "", "{name}");
    } else {
        assert!(found.contains(expected), "{name}: {found}");
    }
}

fn with_block(block: Value) -> Value {
    json!({"messages": [{"role": "user", "content": [block]}]})
}

#[test]
fn the_data_names_its_version_and_has_all_served_operations() {
    let file: Value = serde_json::from_str(DATA).expect("JSON");
    assert_eq!(file["package"], "botocore");
    assert!(
        file["version"]
            .as_str()
            .is_some_and(|version| version >= "1.44")
    );
    for (service, operation) in [
        (RUNTIME, "Converse"),
        (RUNTIME, "CountTokens"),
        (RUNTIME, "InvokeModelWithResponseStream"),
        ("bedrock", "GetInferenceProfile"),
        ("sts", "AssumeRoleWithWebIdentity"),
    ] {
        let model = &MODELS[service];
        let input = &model.operations[operation].input;
        assert!(model.shapes.contains_key(input), "{service} {operation}");
    }
}

#[test]
fn checks_required_members_enumerations_lengths_ranges_and_patterns() {
    converse("plain", &with_block(json!({"text": "hi"})), "");
    converse("null is absent", &json!({"messages": null}), "");
    converse(
        "no role",
        &json!({"messages": [{"content": [{"text": "hi"}]}]}),
        "Value null at 'messages.1.member.role' failed to satisfy constraint: Member must not be null",
    );
    converse(
        "no content",
        &json!({"messages": [{"role": "user"}]}),
        "'messages.1.member.content' failed",
    );
    converse(
        "role",
        &json!({"messages": [{"role": "tool", "content": []}]}),
        "1 validation error detected: Value 'tool' at 'messages.1.member.role' failed to satisfy constraint: Member must satisfy enum value set: [user, assistant, system]",
    );
    converse(
        "range",
        &json!({"inferenceConfig": {"temperature": 1.5, "maxTokens": 0}}),
        "2 validation errors detected: Value '1.5' at 'inferenceConfig.temperature' failed to satisfy constraint: Member must have value less than or equal to 1; Value '0' at 'inferenceConfig.maxTokens'",
    );
    converse(
        "pattern",
        &with_block(json!({"toolUse": {"toolUseId": "a/b", "name": "get", "input": {}}})),
        "Value 'a/b' at 'messages.1.member.content.1.member.toolUse.toolUseId' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.:-]+",
    );
    converse(
        "length of a list",
        &json!({"toolConfig": {"tools": []}}),
        "Value '[]' at 'toolConfig.tools' failed to satisfy constraint: Member must have length greater than or equal to 1",
    );
    converse(
        "length of a blob",
        &with_block(json!({"image": {"format": "png", "source": {"bytes": ""}}})),
        "image.source.bytes",
    );
    converse(
        "a sensitive map",
        &json!({"requestMetadata": {"a": "b*c"}}),
        "Value at 'requestMetadata' failed to satisfy constraint: Map value must satisfy constraint: [Member must have length less than or equal to 256",
    );
    converse(
        "a metadata key",
        &json!({"requestMetadata": {"a*": "b"}}),
        "Map keys must satisfy constraint",
    );
    converse(
        "an effort that is too long",
        &json!({"outputConfig": {"effort": "as-much-as-possible"}}),
        "outputConfig.effort",
    );
}

#[test]
fn checks_json_types_unknown_members_and_unions() {
    converse(
        "text for a number",
        &json!({"inferenceConfig": {"maxTokens": "5"}}),
        "SerializationException: STRING_VALUE can not be converted to an Integer",
    );
    converse(
        "a text for a flag",
        &json!({"toolConfig": {"tools": [{"toolSpec": {"name": "a", "strict": "yes", "inputSchema": {"json": {}}}}]}}),
        "STRING_VALUE can not be converted to a Boolean",
    );
    converse(
        "no base64",
        &with_block(json!({"image": {"format": "png", "source": {"bytes": "%"}}})),
        "Unable to decode the blob at messages.0.content.0.image.source.bytes as base64",
    );
    converse(
        "unknown member",
        &json!({"stream": true}),
        "Malformed input request: extraneous key [stream] is not permitted",
    );
    converse(
        "unknown nested member",
        &json!({"messages": [{"role": "user", "content": [{"text": "a"}], "name": "b"}]}),
        "Malformed input request: #/messages/0: extraneous key [name] is not permitted",
    );
    converse(
        "an unknown block",
        &with_block(json!({"poem": "a"})),
        "The ContentBlock object at messages.0.content.0 must set one of the following keys: text, image, document, ",
    );
    converse(
        "two blocks in one",
        &with_block(json!({"text": "a", "cachePoint": {"type": "default"}})),
        "must set one of the following keys",
    );
    converse(
        "free JSON",
        &json!({"additionalModelRequestFields": {"any": [1, null]}}),
        "",
    );
}

#[test]
fn streaming_accepts_what_only_streams_have() {
    let body = json!({"guardrailConfig": {"guardrailIdentifier": "g", "guardrailVersion": "1", "streamProcessingMode": "async"}});
    assert!(check(RUNTIME, "ConverseStream", &body).is_ok());
    assert!(check(RUNTIME, "Converse", &body).is_err());
}

#[test]
fn accepts_the_type_of_a_call_as_models_return_it() {
    let call = |kind: &str| {
        json!({"messages": [{"role": "assistant", "content": [
            {"toolUse": {"toolUseId": "a", "name": "get", "input": {}, "type": kind}}]}]})
    };
    converse("as returned", &call("tool_use"), "");
    converse("of a server tool", &call("server_tool_use"), "");
    converse("another", &call("call"), "[server_tool_use]");
}
