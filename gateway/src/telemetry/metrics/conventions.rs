//! Which edition of OpenTelemetry's GenAI conventions names the metrics of model requests.
//!
//! By default the names of version 1.36 and before. `OTEL_SEMCONV_STABILITY_OPT_IN=gen_ai_latest_experimental` selects
//! those of version 0.1.0 of the conventions' own repository instead, and the value with `/dup` both, as the conventions for
//! HTTP do it: <https://github.com/open-telemetry/semantic-conventions-genai/blob/v0.1.0/docs/gen-ai/client-inference.md>.

use credentials::Environment;

const OPT_IN: &str = "OTEL_SEMCONV_STABILITY_OPT_IN";
const LATEST: &str = "gen_ai_latest_experimental";
const BOTH: &str = "gen_ai_latest_experimental/dup";

/// The editions to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Conventions {
    /// Names of version 1.36 and before.
    pub(super) former: bool,
    /// Names of version 0.1.0 of the separate repository.
    pub(super) latest: bool,
}

impl Default for Conventions {
    /// The former names.
    fn default() -> Self {
        Self {
            former: true,
            latest: false,
        }
    }
}

impl Conventions {
    /// The choice in the environment. Values for other signals, such as `http`, are ignored.
    pub(crate) fn from_environment(environment: &dyn Environment) -> Self {
        let chosen = environment.get(OPT_IN).unwrap_or_default();
        let has = |value| chosen.split(',').any(|one| one.trim() == value);
        Self {
            former: has(BOTH) || !has(LATEST),
            latest: has(BOTH) || has(LATEST),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn the_environment_selects_the_former_names_the_latest_or_both() {
        for (value, former, latest) in [
            ("", true, false),
            ("http", true, false),
            ("gen_ai_latest_experimental", false, true),
            ("http/dup, gen_ai_latest_experimental", false, true),
            ("gen_ai_latest_experimental/dup", true, true),
        ] {
            let environment = BTreeMap::from([(OPT_IN.to_owned(), value.to_owned())]);
            let conventions = Conventions::from_environment(&environment);
            assert_eq!(conventions, Conventions { former, latest }, "{value}");
        }
    }
}
