//! What gateways tell AWS about requests, and audit records: those of the spec, or of the operator's settings.

use api::{config, v1alpha1::BedrockAccessSpec};
use regex::Regex;

use super::Problems;
use crate::settings::Settings;

/// What gateways tell AWS about the origin of requests.
pub(super) fn attribution(spec: &BedrockAccessSpec) -> config::Attribution {
    let own = spec.attribution.as_ref();
    own.map(config::Attribution::from).unwrap_or_default()
}

/// The operator can turn audit records on for all gateways; a spec cannot turn them off.
pub(super) fn audit(spec: &BedrockAccessSpec, settings: &Settings) -> Option<config::Audit> {
    let own = spec.audit.as_ref().map(config::Audit::from);
    own.or_else(|| settings.gateway_audit.then(config::Audit::default))
}

/// A gateway rejects a document with an invalid expression.
pub(super) fn check(spec: &BedrockAccessSpec, problems: &mut Problems) {
    let patterns = spec.audit.iter().flat_map(|audit| &audit.redact);
    for (index, pattern) in patterns.enumerate() {
        if let Err(error) = Regex::new(pattern) {
            let message = format!("is not a regular expression: {error}");
            problems.add(format!("spec.audit.redact[{index}]"), message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{access, settings};

    #[test]
    fn records_follow_the_spec_or_the_setting_of_the_operator() {
        let on = Settings {
            gateway_audit: true,
            ..settings()
        };
        let audit = |spec: &str, settings: &Settings| audit(&access(spec).spec, settings);
        assert_eq!(audit("{}", &settings()), None);
        assert_eq!(audit("{}", &on), Some(config::Audit::default()));
        for settings in [on, settings()] {
            let spec = "audit: {prompts: true, redact: ['a+']}";
            let found = audit(spec, &settings).unwrap();
            assert!(found.prompts);
            assert_eq!(found.redact, ["a+"]);
            assert_eq!(found.output, config::Audit::STDOUT);
        }
    }

    #[test]
    fn an_invalid_expression_is_reported_with_its_field() {
        let mut problems = Problems::default();
        check(&access("audit: {redact: ['a', '(']}").spec, &mut problems);
        let problems = format!("{:?}", problems.into_vec());
        assert!(problems.contains("spec.audit.redact[1]"), "{problems}");
    }
}
