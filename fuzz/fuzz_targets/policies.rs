//! Policies: a pattern that covers another one covers everything that the other one matches, so that no `*` of a team gets
//! around its policy; specifications keep their meaning when they are written and read again.
#![no_main]

use api::{
    pattern::matches,
    v1alpha1::{BedrockAccessSpec, policy::BedrockAccessPolicySpec},
};
use libfuzzer_sys::fuzz_target;
use serde::{Serialize, de::DeserializeOwned};

/// Reads, writes and reads again.
fn keeps_its_meaning<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(text: &[u8]) {
    if let Ok(spec) = serde_json::from_slice::<T>(text) {
        let written = serde_json::to_vec(&spec).expect("a specification is written");
        let again: T = serde_json::from_slice(&written).expect("what is written is read");
        assert_eq!(again, spec);
    }
}

/// Three texts of a few different characters, so that they often match.
fn texts(data: &[u8]) -> [String; 3] {
    let mut found = [String::new(), String::new(), String::new()];
    for (at, byte) in data.iter().take(60).enumerate() {
        found[at % 3].push(['*', 'a', 'b', '/', ':', '?'][usize::from(*byte) % 6]);
    }
    found
}

fuzz_target!(|data: &[u8]| {
    keeps_its_meaning::<BedrockAccessSpec>(data);
    keeps_its_meaning::<BedrockAccessPolicySpec>(data);
    let [policy, requested, text] = texts(data);
    assert!(matches(&policy, &policy));
    assert!(matches("*", &requested));
    if matches(&policy, &requested) && matches(&requested, &text) {
        assert!(matches(&policy, &text), "{policy:?} {requested:?} {text:?}");
    }
    if !requested.contains('*') {
        assert_eq!(matches(&requested, &text), requested == text);
    }
});
