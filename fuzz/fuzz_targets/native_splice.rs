//! The one change that a native request gets: another model. All bytes around the old name are the client's.
#![no_main]

use dialects::{
    openai::{native, renamed, usage_of},
    translation::{head, with_model},
};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

/// Whether `new` is `body` with one piece replaced by the name, found by looking at both.
fn is_a_splice(body: &[u8], new: &[u8], name: &str) -> bool {
    let quoted = serde_json::to_vec(name).expect("a name can be written");
    let Some(last) = new.len().checked_sub(quoted.len()) else {
        return false;
    };
    let same = body.iter().zip(new).take_while(|(one, other)| one == other);
    // The splice begins at or before the first difference.
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
        // A member that nobody reads may hold bytes that are no text: that is refused before it goes on.
        assert!(std::str::from_utf8(data).is_err(), "a body with a head names a model");
        return;
    };
    assert!(
        is_a_splice(data, &new, name),
        "{}",
        String::from_utf8_lossy(&new)
    );
    // A number may be larger than any that is counted with; it passes as it is.
    if let Ok(mut expected) = serde_json::from_slice::<Value>(data) {
        expected["model"] = Value::from(name);
        let got: Value = serde_json::from_slice(&new).expect("it is still JSON");
        assert_eq!(expected, got);
    }
    if let Ok(native) = native(data, name) {
        assert_eq!(native.body, new);
        assert_eq!(native.stream, head.stream);
    }
    assert_eq!(renamed(data, name), new);
    let _ = usage_of(data);
});
