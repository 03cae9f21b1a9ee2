//! Bodies of Messages: by Converse and in Claude's own language, whole requests and counts.
#![no_main]

use dialects::{
    anthropic::{Door, count_by_converse, count_natively, decode, native},
    translation::{DecodeOptions, head},
};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

const BETAS: [&str; 2] = [
    "interleaved-thinking-2025-05-14,claude-code-20250219",
    "context-1m-2025-08-07",
];

fn json(body: &[u8]) -> Value {
    serde_json::from_slice(body)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(body)))
}

fuzz_target!(|data: &[u8]| {
    // As the gateway does: what is no JSON with a model never gets further.
    if head(data).is_err() {
        return;
    }
    for capabilities in fuzz::FACTS.iter() {
        let mut options = DecodeOptions::new(capabilities);
        options.strict = data.len() % 2 == 1;
        if let Ok(decoded) = decode(data, &BETAS, &options) {
            json(&serde_json::to_vec(&decoded.request).expect("a request can be written"));
        }
        let _ = count_by_converse(data, &BETAS, &options);
        let _ = count_natively(data, &BETAS, &options);
        for door in [
            Door::Invoke,
            Door::Endpoint {
                model: "anthropic.claude-opus-5",
            },
        ] {
            if let Ok(native) = native(data, &BETAS, door, &options) {
                json(&native.body);
            }
        }
    }
});
