//! Passthrough requests of OpenAI's endpoints: only the model changes, all other bytes stay the client's.
#![no_main]

use dialects::{
    openai::{passthrough, usage_of},
    translation::{head, with_client_model, with_model},
};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

/// Whether `new` is `body` with one piece replaced by the name; compares the bytes only.
fn is_edit(body: &[u8], new: &[u8], name: &str) -> bool {
    let quoted = serde_json::to_vec(name).expect("a name serializes");
    let Some(last) = new.len().checked_sub(quoted.len()) else {
        return false;
    };
    let same = body.iter().zip(new).take_while(|(one, other)| one == other);
    // The edit starts at or before the first difference.
    (0..=same.count().min(last)).rev().any(|at| {
        let after = &new[at + quoted.len()..];
        let Some(kept) = body.len().checked_sub(after.len()) else {
            return false;
        };
        kept >= at && new[at..].starts_with(&quoted) && body[kept..] == *after
    })
}

fuzz_target!(|data: &[u8]| {
    let Ok(head) = head(data) else { return };
    let name = "openai.gpt-oss-20b-1:0";
    let Ok(new) = with_model(data, name) else {
        // What follows the head is not parsed for it; a body that is not JSON is rejected.
        let parsed = serde_json::from_slice::<Value>(data);
        assert!(parsed.is_err(), "a body with a head has a model");
        return;
    };
    assert!(
        is_edit(data, &new, name),
        "{}",
        String::from_utf8_lossy(&new)
    );
    // A number may be too large to parse; it passes through unchanged.
    if let Ok(mut expected) = serde_json::from_slice::<Value>(data) {
        expected["model"] = Value::from(name);
        let got: Value = serde_json::from_slice(&new).expect("the edited body is JSON");
        assert_eq!(expected, got);
    }
    if let Ok(request) = passthrough(data, name) {
        assert_eq!(request.model.applied(data), new);
        assert_eq!(request.stream, head.stream);
    }
    assert_eq!(with_client_model(data, name), new);
    let _ = usage_of(data);
});
