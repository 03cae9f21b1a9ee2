//! Validation of the configuration document beyond its types.

use super::{ConfigError, GatewayConfig, KIND, Rates, Store, Target, api_version};
use crate::prices;

impl GatewayConfig {
    /// Validates what the types cannot express.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] for the first invalid field.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.api_version != api_version() || self.kind != KIND {
            return invalid(
                "kind",
                "expected apiVersion bedrockaccess.dev/v1alpha1 and kind GatewayConfig",
            );
        }
        for (index, model) in self.models.iter().enumerate() {
            let field = format!("models[{index}]");
            if model.name.trim().is_empty() {
                return invalid(format!("{field}.name"), "must not be empty");
            }
            let mut earlier = self.models.iter().take(index);
            if earlier.any(|other| other.name == model.name) {
                let message = format!("duplicate name {:?}", model.name);
                return invalid(format!("{field}.name"), message);
            }
            let field = format!("{field}.targets");
            if model.targets.is_empty() {
                return invalid(field, "must contain at least one target");
            }
            let is_blank = |target: &Target| target.model_id.trim().is_empty();
            if let Some(at) = model.targets.iter().position(is_blank) {
                return invalid(format!("{field}[{at}].modelId"), "must not be empty");
            }
            let projects = model.targets.iter().map(|target| target.project.as_deref());
            if let Some(at) = projects.map(is_project).position(|is_valid| !is_valid) {
                return invalid(format!("{field}[{at}].project"), PROJECT);
            }
        }
        let endpoints = [
            ("bedrockRuntime", &self.endpoints.bedrock_runtime),
            ("bedrockMantle", &self.endpoints.bedrock_mantle),
            ("bedrock", &self.endpoints.bedrock),
            ("sts", &self.endpoints.sts),
        ];
        for (name, value) in endpoints {
            if let Some(url) = value
                && !(url.starts_with("https://") || url.starts_with("http://"))
            {
                return invalid(
                    format!("endpoints.{name}"),
                    "must start with https:// or http://",
                );
            }
        }
        for (index, pattern) in self.s3_sources.iter().enumerate() {
            if !pattern.starts_with("s3://") {
                return invalid(format!("s3Sources[{index}]"), "must start with s3://");
            }
        }
        if let Some(guardrail) = &self.guardrail {
            let fields = [
                ("identifier", &guardrail.identifier),
                ("version", &guardrail.version),
            ];
            for (name, value) in fields {
                if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_graphic()) {
                    return invalid(
                        format!("guardrail.{name}"),
                        "must be visible ASCII without spaces, since requests carry it in a header",
                    );
                }
            }
        }
        self.check_zeros()?;
        if let Some(own) = &self.prices {
            prices::builtin()
                .with(own)
                .map_err(|error| ConfigError::Invalid {
                    field: format!("prices.{}", error.field),
                    message: error.problem,
                })?;
        }
        if let Some(Store { redis }) = &self.limits.store
            && !(redis.url.starts_with("redis://") || redis.url.starts_with("rediss://"))
        {
            return invalid(
                "limits.store.redis.url",
                "must start with redis:// or rediss://",
            );
        }
        for (field, rates) in self.rates() {
            if let Some((name, _)) = rates.all().into_iter().find(|(_, rate)| *rate == Some(0)) {
                return invalid(
                    format!("{field}.{name}"),
                    "must be at least 1; remove it for no limit",
                );
            }
        }
        self.check_budgets()
    }

    /// Numbers that must not be 0.
    fn check_zeros(&self) -> Result<(), ConfigError> {
        let (limits, routing) = (&self.limits, &self.routing);
        let at_least_1 = "must be at least 1";
        let numbers = [
            (
                limits.max_body_bytes == 0,
                "limits.maxBodyBytes",
                at_least_1,
            ),
            (
                limits.keep_alive_seconds == 0,
                "limits.keepAliveSeconds",
                at_least_1,
            ),
            (
                limits.total_seconds == Some(0),
                "limits.totalSeconds",
                "must be at least 1; remove it for no limit",
            ),
            (
                routing.eject_seconds == 0,
                "routing.ejectSeconds",
                "must be at least 1; set routing.ejectAfterFailures to 0 to eject no target",
            ),
            (
                routing.hedge_after_seconds == Some(0),
                "routing.hedgeAfterSeconds",
                "must be at least 1; remove it to send no second request",
            ),
        ];
        match numbers.into_iter().find(|(is_zero, ..)| *is_zero) {
            Some((_, field, message)) => invalid(field, message),
            None => Ok(()),
        }
    }

    /// All rate limits, each with the path of its field.
    fn rates(&self) -> Vec<(String, Rates)> {
        let keys = self.clients.api_key_limits;
        let mut rates = vec![
            ("limits".to_owned(), self.limits.rates()),
            ("clients.apiKeyLimits".to_owned(), keys),
        ];
        let accounts = self.clients.service_accounts.iter();
        let subjects = accounts.flat_map(|accounts| &accounts.subjects).enumerate();
        rates.extend(subjects.map(|(index, subject)| {
            let field = format!("clients.serviceAccounts.subjects[{index}].limits");
            (field, subject.limits)
        }));
        rates
    }
}

/// Whether a project is one that AWS accepts: an id or an ARN.
fn is_project(project: Option<&str>) -> bool {
    project.is_none_or(|text| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_:/".contains(&byte);
        (1..=256).contains(&text.len()) && text.bytes().all(plain)
    })
}

const PROJECT: &str = "must be the id or the ARN of a Bedrock project, such as proj_0123456789";

pub(super) fn invalid(
    field: impl Into<String>,
    message: impl Into<String>,
) -> Result<(), ConfigError> {
    Err(ConfigError::Invalid {
        field: field.into(),
        message: message.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(text: &str, expected: &str) {
        let error = GatewayConfig::from_yaml(text).unwrap_err().to_string();
        assert!(
            error.contains(expected),
            "{text:?} gave {error:?}, expected {expected:?}"
        );
    }

    #[test]
    fn invalid_documents_are_rejected_with_the_field() {
        refused("modles: []", "modles");
        refused("region: nowhere", "us-east-1");
        refused("kind: Deployment", "GatewayConfig");
        refused(
            "models: [{name: '', targets: [{modelId: a}]}]",
            "models[0].name",
        );
        refused("models: [{name: a, targets: []}]", "models[0].targets");
        refused(
            "models: [{name: a, targets: [{modelId: ' '}]}]",
            "models[0].targets[0].modelId",
        );
        refused(
            "models: [{name: a, targets: [{modelId: x}]}, {name: a, targets: [{modelId: y}]}]",
            "models[1].name",
        );
        refused(
            "models: [{name: a, targets: [{modelId: x, project: 'a b'}]}]",
            "models[0].targets[0].project",
        );
        refused("attribution: {metadata: true}", "metadata");
        refused("endpoints: {sts: 'sts.amazonaws.com'}", "endpoints.sts");
        refused("limits: {maxBodyBytes: 0}", "limits.maxBodyBytes");
        refused(
            "guardrail: {identifier: 'gr é', version: '1'}",
            "guardrail.identifier",
        );
        refused(
            "guardrail: {identifier: gr-1, version: ''}",
            "guardrail.version",
        );
        refused("limits: {tokensPerDay: 0}", "limits.tokensPerDay");
        refused(
            "limits: {store: {redis: {url: 'valkey:6379'}}}",
            "limits.store.redis.url",
        );
        refused("limits: {totalSeconds: 0}", "limits.totalSeconds");
        refused("routing: {ejectSeconds: 0}", "routing.ejectSeconds");
        refused(
            "routing: {hedgeAfterSeconds: 0}",
            "routing.hedgeAfterSeconds",
        );
        refused("routing: {sticky: false}", "sticky");
        refused("limits: {requestsPerHour: 1}", "requestsPerHour");
        refused(
            "clients: {apiKeyLimits: {requestsPerMinute: 0}}",
            "clients.apiKeyLimits.requestsPerMinute",
        );
        refused(
            "clients: {serviceAccounts: {issuer: a, audience: b, jwks: {}, subjects: [{namespace: a, name: b}, {namespace: a, name: c, limits: {concurrentRequests: 0}}]}}",
            "clients.serviceAccounts.subjects[1].limits.concurrentRequests",
        );
        refused("assumeRoles: [{roleArn: me}]", "arn:PARTITION");
        refused(
            "models: [{name: a, targets: [{modelId: x, assumeRole: {roleArn: me}}]}]",
            "arn:PARTITION",
        );
    }
}
