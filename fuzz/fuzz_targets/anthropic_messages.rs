//! Bodies of Messages: translated to Converse and passed through to Claude, as requests and as token counts.
#![no_main]

use dialects::{
    anthropic::{Endpoint, count_by_converse, count_passthrough, decode, passthrough},
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
    // The gateway rejects bodies without a model before it decodes them.
    if head(data).is_err() {
        return;
    }
    for capabilities in fuzz::CAPABILITIES.iter() {
        let mut options = DecodeOptions::new(capabilities);
        options.strict = data.len() % 2 == 1;
        if let Ok(decoded) = decode(data, &BETAS, &options) {
            json(&serde_json::to_vec(&decoded.request).expect("a request serializes"));
        }
        let _ = count_by_converse(data, &BETAS, &options);
        let _ = count_passthrough(data, &BETAS, &options);
        for endpoint in [
            Endpoint::InvokeModel,
            Endpoint::Anthropic {
                model: "anthropic.claude-opus-5",
            },
        ] {
            if let Ok(request) = passthrough(data, &BETAS, endpoint, &options) {
                json(&request.body);
            }
        }
    }
});
