//! Configuration documents of the gateway: a document that is accepted gives a document that is accepted, with the same
//! meaning; an invalid one gives an error that names its problem.
#![no_main]

use api::GatewayConfig;
use libfuzzer_sys::fuzz_target;

/// Lines before the input, so that most inputs reach the checks of a part.
const STARTS: [&str; 6] = [
    "",
    "allow: ['*']\n",
    "models:\n- ",
    "clients: ",
    "limits: ",
    "modelFamilies: ",
];

fuzz_target!(|data: &[u8]| {
    let Some((first, rest)) = data.split_first() else {
        return;
    };
    let start = STARTS[usize::from(*first) % STARTS.len()];
    let text = format!("{start}{}", String::from_utf8_lossy(rest));
    match GatewayConfig::from_yaml(&text) {
        Ok(config) => {
            let written = config.to_yaml().expect("an accepted document is written");
            let again = GatewayConfig::from_yaml(&written);
            assert_eq!(again.as_ref(), Ok(&config), "{written}");
            assert_eq!(again.expect("compared").to_yaml(), Ok(written));
            let _ = config.target_roles();
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
