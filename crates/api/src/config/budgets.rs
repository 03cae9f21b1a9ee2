//! Budgets in the configuration document, and what their types cannot express; see `docs/decisions/0032-budgets.md`.

use serde::{Deserialize, Serialize};

use super::{ConfigError, GatewayConfig, check::invalid};
use crate::budget::{Amount, MAX_TOKENS, MAX_USD, OnStoreFailure, Period, TimeZone};

/// Maximum spend or tokens in a calendar period. Exactly one of `usd` and `tokens` is set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Budget {
    /// Period after which the budget starts again.
    pub period: Period,
    /// Time zone of the period, a name of the IANA database. If absent, UTC.
    #[serde(default, skip_serializing_if = "TimeZone::is_utc")]
    pub time_zone: TimeZone,
    /// Budget in US dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usd: Option<u64>,
    /// Budget in input tokens (including cached tokens) and output tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// Percentage of the budget at which responses have a warning header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warn_at: Option<u8>,
    /// Model for requests above a percentage of the budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<BudgetFallback>,
    /// Whether requests are admitted while the store is unavailable.
    #[serde(default, skip_serializing_if = "is_open")]
    pub on_store_failure: OnStoreFailure,
}

/// A model for requests above a percentage of a budget.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BudgetFallback {
    /// Percentage of the budget.
    pub at: u8,
    /// Name of the model.
    pub model: String,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde expects"
)]
fn is_open(value: &OnStoreFailure) -> bool {
    *value == OnStoreFailure::Open
}

impl Budget {
    /// The amount; `None` unless exactly one of `usd` and `tokens` is set.
    pub fn amount(&self) -> Option<Amount> {
        match (self.usd, self.tokens) {
            (Some(usd), None) => Some(Amount::Usd(usd)),
            (None, Some(tokens)) => Some(Amount::Tokens(tokens)),
            _ => None,
        }
    }

    /// The first invalid field and its problem.
    fn problem(&self) -> Option<(&'static str, String)> {
        let Some(amount) = self.amount() else {
            return Some(("usd", "set exactly one of usd and tokens".to_owned()));
        };
        let (value, max) = match amount {
            Amount::Usd(usd) => (usd, MAX_USD),
            Amount::Tokens(tokens) => (tokens, MAX_TOKENS),
        };
        if !(1..=max).contains(&value) {
            return Some((amount.field(), format!("must be 1–{max}")));
        }
        let percent = 1..=100;
        if self.warn_at.is_some_and(|at| !percent.contains(&at)) {
            return Some(("warnAt", "must be a percentage, 1–100".to_owned()));
        }
        let fallback = self.fallback.as_ref()?;
        if !percent.contains(&fallback.at) {
            return Some(("fallback.at", "must be a percentage, 1–100".to_owned()));
        }
        None
    }

    /// The name of the budget between operator and gateway: unique in a BedrockAccess.
    pub fn name(&self, client: Option<&str>) -> String {
        let unit = if self.usd.is_some() { "usd" } else { "tokens" };
        let (period, zone) = (self.period.as_str(), self.time_zone.as_str());
        match client {
            None => format!("access:{period}:{zone}:{unit}"),
            Some(client) => format!("client:{client}:{period}:{zone}:{unit}"),
        }
    }

    /// Whether two budgets count the same.
    pub fn counts_like(&self, other: &Self) -> bool {
        self.period == other.period
            && self.time_zone == other.time_zone
            && self.usd.is_some() == other.usd.is_some()
    }
}

/// The field of the budgets of API keys, whose names the operator does not know.
const API_KEYS: &str = "clients.apiKeyBudgets";

impl GatewayConfig {
    /// All budgets, each with the path of its list.
    fn budgets(&self) -> Vec<(String, &[Budget])> {
        let shared = [
            ("limits.budgets".to_owned(), self.limits.budgets.as_slice()),
            (API_KEYS.to_owned(), self.clients.api_key_budgets.as_slice()),
        ];
        let accounts = self.clients.service_accounts.iter();
        let subjects = accounts.flat_map(|accounts| &accounts.subjects).enumerate();
        let of_subjects = subjects.map(|(index, subject)| {
            let field = format!("clients.serviceAccounts.subjects[{index}].budgets");
            (field, subject.budgets.as_slice())
        });
        shared.into_iter().chain(of_subjects).collect()
    }

    /// Validates the budgets.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] for the first invalid field.
    pub(super) fn check_budgets(&self) -> Result<(), ConfigError> {
        if let Some(shares) = &self.limits.shares
            && (shares.public_key.len() != 64
                || !shares
                    .public_key
                    .bytes()
                    .all(|byte| byte.is_ascii_hexdigit()))
        {
            return invalid(
                "limits.shares.publicKey",
                "must be an Ed25519 public key of 64 hexadecimal digits",
            );
        }
        for (field, budgets) in self.budgets() {
            let by_shares = self.limits.shares.is_some() && field != API_KEYS;
            if !budgets.is_empty() && self.limits.store.is_none() && !by_shares {
                return invalid(
                    "limits.store",
                    format!("must be set, since {field} needs a store that keeps the counts"),
                );
            }
            for (index, budget) in budgets.iter().enumerate() {
                let field = format!("{field}[{index}]");
                if let Some((name, problem)) = budget.problem() {
                    return invalid(format!("{field}.{name}"), problem);
                }
                let mut earlier = budgets.iter().take(index);
                if earlier.any(|other| other.counts_like(budget)) {
                    return invalid(field, "has the same period, time zone and unit as another");
                }
                // A gateway that serves nothing has no models.
                if let Some(fallback) = &budget.fallback
                    && self.revoked.is_none()
                    && !self.models.iter().any(|model| model.name == fallback.model)
                {
                    let message = format!("{:?} is not a name in models", fallback.model);
                    return invalid(format!("{field}.fallback.model"), message);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORE: &str = "store: {redis: {url: 'redis://valkey:6379'}}";

    #[track_caller]
    fn rejected(budgets: &str, expected: &str) {
        let text = format!("limits: {{{STORE}, budgets: [{budgets}]}}");
        let error = GatewayConfig::from_yaml(&text).unwrap_err().to_string();
        assert!(
            error.contains(expected),
            "{budgets} gave {error:?}, expected {expected:?}"
        );
    }

    #[test]
    fn invalid_budgets_are_rejected_with_the_field_and_the_fix() {
        rejected(
            "{period: Month}",
            "limits.budgets[0].usd: set exactly one of usd and tokens",
        );
        rejected("{period: Month, usd: 1, tokens: 1}", "exactly one");
        rejected("{period: Hour, usd: 1}", "Day");
        rejected(
            "{period: Day, usd: 0}",
            "limits.budgets[0].usd: must be 1–9000000",
        );
        rejected(
            "{period: Day, tokens: 1000000000000001}",
            "limits.budgets[0].tokens",
        );
        rejected(
            "{period: Day, usd: 1, warnAt: 101}",
            "limits.budgets[0].warnAt",
        );
        rejected("{period: Day, usd: 1, timeZone: CEST}", "Europe/Berlin");
        rejected("{period: Day, usd: 1, onStoreFailure: open}", "Open");
        rejected(
            "{period: Day, usd: 1, fallback: {at: 0, model: a}}",
            "limits.budgets[0].fallback.at",
        );
        rejected(
            "{period: Day, usd: 1, fallback: {at: 90, model: cheap}}",
            "limits.budgets[0].fallback.model: \"cheap\" is not a name in models",
        );
        rejected(
            "{period: Day, usd: 1}, {period: Day, usd: 2}",
            "limits.budgets[1]: has the same",
        );
    }

    #[test]
    fn budgets_of_clients_need_the_store_too() {
        for text in [
            "limits: {budgets: [{period: Day, usd: 1}]}",
            "clients: {apiKeyBudgets: [{period: Day, usd: 1}]}",
            "clients: {serviceAccounts: {issuer: a, audience: b, jwks: {}, subjects: [{namespace: a, name: b, budgets: [{period: Day, usd: 1}]}]}}",
        ] {
            let error = GatewayConfig::from_yaml(text).unwrap_err().to_string();
            assert!(error.starts_with("limits.store: must be set"), "{error}");
        }
    }

    #[test]
    fn shares_replace_the_store_except_for_keys() {
        let key = "0f".repeat(32);
        let with = |key: &str, more: &str| {
            GatewayConfig::from_yaml(&format!(
                "limits: {{shares: {{publicKey: '{key}'}}, budgets: [{{period: Day, usd: 1}}]}}\n{more}"
            ))
        };
        with(&key, "").unwrap();
        let error = with("0f", "").unwrap_err().to_string();
        assert!(
            error.starts_with("limits.shares.publicKey: must be"),
            "{error}"
        );
        let of_keys = "clients: {apiKeyBudgets: [{period: Day, usd: 1}]}";
        let error = with(&key, of_keys).unwrap_err().to_string();
        assert!(
            error.contains("clients.apiKeyBudgets needs a store"),
            "{error}"
        );
    }

    #[test]
    fn budgets_of_different_units_periods_or_time_zones_are_separate() {
        let text = format!(
            "limits: {{{STORE}, budgets: [{{period: Day, usd: 1}}, {{period: Day, tokens: 1}}, {{period: Week, usd: 1}}, {{period: Day, usd: 1, timeZone: Asia/Tokyo}}]}}"
        );
        let config = GatewayConfig::from_yaml(&text).unwrap();
        assert_eq!(
            GatewayConfig::from_yaml(&config.to_yaml().unwrap()).unwrap(),
            config
        );
        assert_eq!(config.limits.budgets[3].time_zone.as_str(), "Asia/Tokyo");
    }
}
