//! Where a gateway's container sends its traces and audit records, in OpenTelemetry's own variables.
//!
//! The collector is a setting of the operator and not a field of `BedrockAccess`: users who can write a `BedrockAccess`
//! must not be able to send a gateway's data elsewhere.

use api::names;
use k8s_openapi::api::core::v1::{EnvVar, EnvVarSource, ObjectFieldSelector};

use super::identity::variable;
use crate::{access::validate::Validated, settings::ALL_PER_MILLION};

/// Same name as in OpenTelemetry's operator.
const POD_NAME: &str = "OTEL_RESOURCE_ATTRIBUTES_POD_NAME";

/// The variables; empty if tracing is disabled.
pub(super) fn variables(access: &Validated) -> Vec<EnvVar> {
    let Some(tracing) = &access.tracing else {
        return Vec::new();
    };
    let share = f64::from(tracing.sampling_rate_per_million) / f64::from(ALL_PER_MILLION);
    let attributes = [
        ("service.namespace", access.namespace.as_str()),
        ("k8s.namespace.name", &access.namespace),
        ("k8s.pod.name", &format!("$({POD_NAME})")),
        ("k8s.container.name", names::GATEWAY_NAME),
        ("bedrock_access.name", &access.name),
    ]
    .map(|(key, value)| format!("{key}={value}"));
    let mut variables = vec![
        variable("OTEL_EXPORTER_OTLP_ENDPOINT", tracing.endpoint.as_str()),
        variable("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
        variable("OTEL_TRACES_SAMPLER_ARG", share.to_string()),
        EnvVar {
            name: POD_NAME.to_owned(),
            value_from: Some(EnvVarSource {
                field_ref: Some(ObjectFieldSelector {
                    // The API server's default.
                    api_version: Some("v1".to_owned()),
                    field_path: "metadata.name".to_owned(),
                }),
                ..EnvVarSource::default()
            }),
            ..EnvVar::default()
        },
        variable("OTEL_RESOURCE_ATTRIBUTES", attributes.join(",")),
    ];
    if tracing.audit_records {
        variables.push(variable("OTEL_LOGS_EXPORTER", "otlp"));
    }
    variables
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fixtures::validated, settings::Tracing};

    fn values(per_million: u32) -> Vec<(String, Option<String>)> {
        values_with(per_million, false)
    }

    fn values_with(per_million: u32, audit_records: bool) -> Vec<(String, Option<String>)> {
        let mut access = validated("{}");
        access.tracing = Some(Tracing {
            endpoint: "http://collector.observability.svc:4318".parse().unwrap(),
            sampling_rate_per_million: per_million,
            audit_records,
        });
        let pair = |variable: EnvVar| (variable.name, variable.value);
        variables(&access).into_iter().map(pair).collect()
    }

    #[test]
    fn variables_contain_the_collector_the_sampling_rate_and_the_origin() {
        let expected = [
            (
                "OTEL_EXPORTER_OTLP_ENDPOINT",
                Some("http://collector.observability.svc:4318"),
            ),
            ("OTEL_TRACES_SAMPLER", Some("parentbased_traceidratio")),
            ("OTEL_TRACES_SAMPLER_ARG", Some("0.25")),
            // A later variable refers to it, so it comes first.
            (POD_NAME, None),
            (
                "OTEL_RESOURCE_ATTRIBUTES",
                Some(
                    "service.namespace=team-a,k8s.namespace.name=team-a,k8s.pod.name=$(OTEL_RESOURCE_ATTRIBUTES_POD_NAME),k8s.container.name=bedrock-gateway,bedrock_access.name=chat",
                ),
            ),
        ]
        .map(|(name, value)| (name.to_owned(), value.map(str::to_owned)));
        assert_eq!(values(250_000), expected);
    }

    #[test]
    fn sampling_rate_is_written_as_a_fraction() {
        for (per_million, share) in [(0, "0"), (1, "0.000001"), (ALL_PER_MILLION, "1")] {
            assert_eq!(values(per_million)[2].1.as_deref(), Some(share));
        }
    }

    #[test]
    fn audit_records_go_to_the_collector_if_the_operator_says_so() {
        let exporter = ("OTEL_LOGS_EXPORTER".to_owned(), Some("otlp".to_owned()));
        assert!(values_with(0, true).contains(&exporter));
        assert!(!values(0).contains(&exporter));
    }

    #[test]
    fn no_variables_without_a_collector() {
        assert_eq!(variables(&validated("{}")), []);
    }
}
