//! Bodies of Chat Completions: a body that decodes gives a request that serializes to the same bytes each time, for every
//! kind of model.
#![no_main]

use dialects::{
    openai::decode,
    translation::{DecodeOptions, head},
};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|data: &[u8]| {
    let _ = head(data);
    let body = fuzz::repaired(data);
    for capabilities in fuzz::CAPABILITIES.iter() {
        let mut options = DecodeOptions::new(capabilities);
        options.strict = data.len() % 2 == 1;
        options.automatic_cache = data.len() % 3 == 1;
        let once = || {
            let decoded = decode(&body, &options).ok()?;
            for warning in &decoded.warnings {
                assert!(
                    http::HeaderValue::try_from(warning.as_str()).is_ok(),
                    "{warning:?}"
                );
            }
            Some(serde_json::to_vec(&decoded.request).expect("a request serializes"))
        };
        let first = once();
        assert_eq!(first, once());
        if let Some(body) = first {
            let _: Value = serde_json::from_slice(&body).expect("a serialized request is JSON");
        }
    }
});
