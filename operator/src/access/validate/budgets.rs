//! Budgets of a `BedrockAccess` and of its clients: what the schema of the resource cannot check.

use api::{
    config::Budget,
    v1alpha1::{
        BedrockAccessSpec,
        limits::{BudgetSpec, RatesSpec},
    },
};

use super::Problems;

/// The field of the budgets of API keys.
const API_KEYS: &str = "spec.clients.apiKeys.limits.budgets";
/// Budgets of one object without a store: each is a part of the status.
const MAX_SHARED: usize = 16;

/// Whether the operator gives the gateways shares of budgets.
pub(crate) fn need_shares(spec: &BedrockAccessSpec) -> bool {
    !has_store(spec) && lists(spec).iter().any(|(_, budgets)| !budgets.is_empty())
}

fn has_store(spec: &BedrockAccessSpec) -> bool {
    spec.limits.as_ref().is_some_and(|all| all.store.is_some())
}

/// Checks all budgets of a spec.
pub(super) fn check(spec: &BedrockAccessSpec, problems: &mut Problems) {
    let count: usize = lists(spec).iter().map(|(_, budgets)| budgets.len()).sum();
    if !has_store(spec) && count > MAX_SHARED {
        problems.add(
            "spec.limits.store",
            format!("must be set for more than {MAX_SHARED} budgets; there are {count}"),
        );
    }
    for (field, budgets) in lists(spec) {
        if budgets.is_empty() {
            continue;
        }
        if !has_store(spec) && field == API_KEYS {
            problems.add(
                &field,
                "needs spec.limits.store: without a store, the operator gives each gateway pod a share of a budget, and it does not know the keys",
            );
        }
        if spec.sidecar.is_some() {
            problems.add(
                &field,
                "cannot be combined with spec.sidecar, since sidecars have no access to a store and get no shares: use a separate BedrockAccess for sidecars",
            );
        }
        let mut earlier = Vec::new();
        for (index, spec_of_budget) in budgets.iter().enumerate() {
            let field = format!("{field}[{index}]");
            match Budget::try_from(spec_of_budget) {
                Err(error) => problems.add(format!("{field}.timeZone"), error.to_string()),
                Ok(budget) => {
                    if earlier.iter().any(|other| budget.counts_like(other)) {
                        problems.add(
                            &field,
                            "has the same period, time zone and unit as another budget of the list",
                        );
                    }
                    earlier.push(budget);
                }
            }
            let Some(fallback) = &spec_of_budget.fallback else {
                continue;
            };
            if !spec.models.iter().any(|model| model.name == fallback.model) {
                problems.add(
                    format!("{field}.fallback.model"),
                    format!("{:?} is not a name in spec.models", fallback.model),
                );
            }
        }
    }
}

/// The budgets of a list that [`check`] has accepted.
pub(super) fn budgets(spec: &[BudgetSpec]) -> Vec<Budget> {
    spec.iter()
        .filter_map(|spec| Budget::try_from(spec).ok())
        .collect()
}

/// The budgets of a client.
pub(super) fn of_client(limits: Option<&RatesSpec>) -> Vec<Budget> {
    limits
        .map(|limits| budgets(&limits.budgets))
        .unwrap_or_default()
}

/// All lists of budgets, each with its field.
fn lists(spec: &BedrockAccessSpec) -> Vec<(String, &[BudgetSpec])> {
    fn list(field: impl Into<String>, limits: &RatesSpec) -> (String, &[BudgetSpec]) {
        (field.into(), &limits.budgets)
    }
    let shared = spec.limits.iter();
    let shared = shared.map(|limits| list("spec.limits.budgets", &limits.rates));
    let keys = spec.clients.api_keys.iter();
    let keys = keys.filter_map(|keys| keys.limits.as_ref());
    let keys = keys.map(|limits| list(API_KEYS, limits));
    let accounts = spec.clients.service_accounts.iter().enumerate();
    let accounts = accounts.filter_map(|(index, client)| {
        let field = format!("spec.clients.serviceAccounts[{index}].limits.budgets");
        Some(list(field, client.limits.as_ref()?))
    });
    shared.chain(keys).chain(accounts).collect()
}

#[cfg(test)]
mod tests {
    use crate::{
        access::validate::{ValidateError, validate},
        fixtures::{access, observed, settings},
    };

    const STORE: &str = "store: {redis: {url: 'redis://valkey:6379'}}";

    #[track_caller]
    fn rejected(more: &str, expected: &[&str]) {
        let error = validate(&access(more), &observed(), &settings()).unwrap_err();
        let ValidateError::Invalid(problems) = &error else {
            panic!("{more:?} gave {error:?}")
        };
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(problems.len(), expected.len(), "{problems:?}");
        for (problem, expected) in problems.iter().zip(expected) {
            assert!(
                problem.starts_with(expected),
                "{problem:?} is not {expected:?}"
            );
        }
    }

    #[test]
    fn budgets_that_cannot_hold_are_rejected_with_the_fix() {
        rejected(
            "clients: {apiKeys: {secretName: keys, limits: {budgets: [{period: Month, usd: 500}]}}}",
            &["spec.clients.apiKeys.limits.budgets: needs spec.limits.store"],
        );
        let zones = ["Asia/Tokyo", "Europe/Berlin", "America/New_York"];
        let many = zones.map(|zone| {
            ["Day", "Week", "Month"].map(|period| {
                format!("{{period: {period}, usd: 5, timeZone: {zone}}}, {{period: {period}, tokens: 5, timeZone: {zone}}}")
            })
        });
        let many = many.as_flattened().join(", ");
        rejected(
            &format!("limits: {{budgets: [{many}]}}"),
            &["spec.limits.store: must be set for more than 16 budgets; there are 18"],
        );
        rejected(
            &format!(
                "{{limits: {{{STORE}, budgets: [{{period: Month, usd: 500}}]}}, sidecar: {{serviceAccounts: [{{name: app}}]}}}}"
            ),
            &["spec.limits.budgets: cannot be combined with spec.sidecar"],
        );
        rejected(
            &format!(
                "{{limits: {{{STORE}}}, clients: {{apiKeys: {{secretName: keys, limits: {{budgets: [{{period: Day, usd: 1, timeZone: Mars}}]}}}}}}}}"
            ),
            &["spec.clients.apiKeys.limits.budgets[0].timeZone: \"Mars\" is not an IANA time zone"],
        );
        rejected(
            &format!(
                "limits: {{{STORE}, budgets: [{{period: Day, usd: 1}}, {{period: Day, usd: 2, fallback: {{at: 90, model: nothing}}}}]}}"
            ),
            &[
                "spec.limits.budgets[1]: has the same period",
                "spec.limits.budgets[1].fallback.model: \"nothing\" is not a name in spec.models",
            ],
        );
    }

    #[test]
    fn budgets_without_a_store_get_the_key_for_shares() {
        let of_client = "{clients: {serviceAccounts: [{name: app, limits: {budgets: [{period: Month, usd: 5}]}}]}}";
        for more in ["limits: {budgets: [{period: Month, usd: 5}]}", of_client] {
            let validated = validate(&access(more), &observed(), &settings()).unwrap();
            let config = crate::access::build::gateway_config(&validated);
            config.check().unwrap();
            let shares = config.limits.shares.unwrap();
            assert_eq!(shares.public_key, settings().share_public_key);
        }
        let with_store = format!("limits: {{{STORE}, budgets: [{{period: Month, usd: 5}}]}}");
        let validated = validate(&access(&with_store), &observed(), &settings()).unwrap();
        assert_eq!(validated.limits.shares, None);
    }

    #[test]
    fn budgets_reach_the_configuration_document() {
        let access = access(&format!(
            "{{limits: {{{STORE}, budgets: [{{period: Month, usd: 500, timeZone: Europe/Berlin, warnAt: 80, fallback: {{at: 90, model: fast}}}}]}}, clients: {{apiKeys: {{secretName: keys, limits: {{budgets: [{{period: Day, tokens: 1000, onStoreFailure: Closed}}]}}}}}}}}"
        ));
        let validated = validate(&access, &observed(), &settings()).unwrap();
        let config = crate::access::build::gateway_config(&validated);
        let yaml = config.to_yaml().unwrap();
        for line in [
            "    timeZone: Europe/Berlin\n    usd: 500\n    warnAt: 80\n",
            "  apiKeyBudgets:\n  - period: Day\n    tokens: 1000\n    onStoreFailure: Closed\n",
        ] {
            assert!(yaml.contains(line), "{yaml}");
        }
        config.check().unwrap();
        let revoked = crate::access::build::revoked_config(config, "team-a", "chat");
        revoked.check().unwrap();
    }
}
