//! The `Condition` element: operators with prefixes and suffix, and the condition keys of a request.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::document::{PolicyError, error, strings};
use super::wildcard_matches;

/// The condition keys of a request. As at AWS, keys are not case-sensitive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context(BTreeMap<String, Vec<String>>);

impl Context {
    /// A context without keys.
    pub fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Sets a key to one value.
    pub fn set(&mut self, key: &str, value: impl Into<String>) {
        self.0.insert(key.to_ascii_lowercase(), vec![value.into()]);
    }

    /// Sets a key to several values.
    pub fn set_all(&mut self, key: &str, values: Vec<String>) {
        self.0.insert(key.to_ascii_lowercase(), values);
    }

    /// Like [`Context::set`], for chaining.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        self.set(key, value);
        self
    }

    /// The values of a key.
    pub fn get(&self, key: &str) -> Option<&[String]> {
        self.0.get(&key.to_ascii_lowercase()).map(Vec::as_slice)
    }

    /// Replaces policy variables such as `${aws:username}`; unknown variables are kept and therefore match nothing.
    pub(super) fn substitute(&self, text: &str) -> String {
        let mut result = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            result.push_str(before);
            let Some((name, tail)) = after.split_once('}') else {
                result.push_str("${");
                rest = after;
                continue;
            };
            match (name, self.get(name)) {
                ("*" | "?" | "$", _) => result.push_str(name),
                (_, Some([value])) => result.push_str(value),
                _ => {
                    result.push_str("${");
                    result.push_str(name);
                    result.push('}');
                }
            }
            rest = tail;
        }
        result.push_str(rest);
        result
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quantifier {
    None,
    ForAnyValue,
    ForAllValues,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    StringEquals,
    StringEqualsIgnoreCase,
    StringLike,
    ArnLike,
    Bool,
    Null,
    IpAddress,
    Numeric(Order),
    Date(Order),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Equals,
    LessThan,
    LessThanEquals,
    GreaterThan,
    GreaterThanEquals,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Condition {
    quantifier: Quantifier,
    comparison: Comparison,
    negated: bool,
    if_exists: bool,
    key: String,
    values: Vec<String>,
}

impl Condition {
    pub(super) fn parse_all(value: &Value, path: &str) -> Result<Vec<Self>, PolicyError> {
        let operators = value
            .as_object()
            .ok_or_else(|| error(path, "must be an object"))?;
        let mut conditions = Vec::new();
        for (operator, keys) in operators {
            let path = format!("{path}.{operator}");
            let (quantifier, name) = match operator.split_once(':') {
                Some(("ForAnyValue", name)) => (Quantifier::ForAnyValue, name),
                Some(("ForAllValues", name)) => (Quantifier::ForAllValues, name),
                _ => (Quantifier::None, operator.as_str()),
            };
            let (name, if_exists) = name
                .strip_suffix("IfExists")
                .map_or((name, false), |name| (name, true));
            let (comparison, negated) =
                comparison(name).ok_or_else(|| error(&path, "unknown condition operator"))?;
            let keys = keys
                .as_object()
                .ok_or_else(|| error(&path, "must be an object"))?;
            for (key, value) in keys {
                conditions.push(Self {
                    quantifier,
                    comparison,
                    negated,
                    if_exists,
                    key: key.clone(),
                    values: strings(value, &format!("{path}.{key}"))?,
                });
            }
        }
        Ok(conditions)
    }

    pub(super) fn is_met(&self, context: &Context) -> bool {
        let actual = context.get(&self.key).filter(|values| !values.is_empty());
        if self.comparison == Comparison::Null {
            let absent = actual.is_none();
            return self.values.iter().any(|value| (value == "true") == absent);
        }
        let Some(actual) = actual else {
            return match self.quantifier {
                Quantifier::ForAllValues => true,
                Quantifier::ForAnyValue => self.if_exists,
                Quantifier::None => self.if_exists || self.negated,
            };
        };
        let value_matches = |actual: &String| {
            let matched = self
                .values
                .iter()
                .any(|wanted| self.comparison.compare(&context.substitute(wanted), actual));
            matched != self.negated
        };
        match (self.quantifier, self.negated) {
            (Quantifier::ForAllValues, _) | (Quantifier::None, true) => {
                actual.iter().all(value_matches)
            }
            (Quantifier::ForAnyValue, _) | (Quantifier::None, false) => {
                actual.iter().any(value_matches)
            }
        }
    }
}

fn comparison(name: &str) -> Option<(Comparison, bool)> {
    let order = |name: &str| {
        Some(match name {
            "Equals" => (Order::Equals, false),
            "NotEquals" => (Order::Equals, true),
            "LessThan" => (Order::LessThan, false),
            "LessThanEquals" => (Order::LessThanEquals, false),
            "GreaterThan" => (Order::GreaterThan, false),
            "GreaterThanEquals" => (Order::GreaterThanEquals, false),
            _ => return None,
        })
    };
    Some(match name {
        "StringEquals" => (Comparison::StringEquals, false),
        "StringNotEquals" => (Comparison::StringEquals, true),
        "StringEqualsIgnoreCase" => (Comparison::StringEqualsIgnoreCase, false),
        "StringNotEqualsIgnoreCase" => (Comparison::StringEqualsIgnoreCase, true),
        "StringLike" => (Comparison::StringLike, false),
        "StringNotLike" => (Comparison::StringLike, true),
        // AWS: ArnEquals and ArnLike behave identically.
        "ArnEquals" | "ArnLike" => (Comparison::ArnLike, false),
        "ArnNotEquals" | "ArnNotLike" => (Comparison::ArnLike, true),
        "Bool" => (Comparison::Bool, false),
        "Null" => (Comparison::Null, false),
        "IpAddress" => (Comparison::IpAddress, false),
        "NotIpAddress" => (Comparison::IpAddress, true),
        other => {
            if let Some(name) = other.strip_prefix("Numeric") {
                let (order, negated) = order(name)?;
                (Comparison::Numeric(order), negated)
            } else {
                let (order, negated) = order(other.strip_prefix("Date")?)?;
                (Comparison::Date(order), negated)
            }
        }
    })
}

impl Comparison {
    fn compare(self, wanted: &str, actual: &str) -> bool {
        match self {
            Self::StringEquals => wanted == actual,
            Self::StringEqualsIgnoreCase => wanted.to_lowercase() == actual.to_lowercase(),
            Self::Bool => wanted.eq_ignore_ascii_case(actual),
            Self::StringLike => wildcard_matches(wanted, actual),
            Self::ArnLike => {
                let mut wanted = wanted.splitn(6, ':');
                let mut actual = actual.splitn(6, ':');
                loop {
                    match (wanted.next(), actual.next()) {
                        (Some(pattern), Some(part)) if wildcard_matches(pattern, part) => {}
                        (None, None) => break true,
                        _ => break false,
                    }
                }
            }
            Self::Null => false,
            Self::IpAddress => address_in(wanted, actual).unwrap_or(false),
            Self::Numeric(order) => match (wanted.parse::<f64>(), actual.parse::<f64>()) {
                (Ok(wanted), Ok(actual)) => actual
                    .partial_cmp(&wanted)
                    .is_some_and(|found| order.accepts(found)),
                _ => false,
            },
            Self::Date(order) => match (date(wanted), date(actual)) {
                (Some(wanted), Some(actual)) => order.accepts(actual.cmp(&wanted)),
                _ => false,
            },
        }
    }
}

impl Order {
    fn accepts(self, found: std::cmp::Ordering) -> bool {
        match self {
            Self::Equals => found.is_eq(),
            Self::LessThan => found.is_lt(),
            Self::LessThanEquals => found.is_le(),
            Self::GreaterThan => found.is_gt(),
            Self::GreaterThanEquals => found.is_ge(),
        }
    }
}

fn date(text: &str) -> Option<OffsetDateTime> {
    if let Ok(seconds) = text.parse::<i64>() {
        return OffsetDateTime::from_unix_timestamp(seconds).ok();
    }
    OffsetDateTime::parse(text, &Rfc3339).ok()
}

fn address_in(range: &str, address: &str) -> Option<bool> {
    let (network, bits) = match range.split_once('/') {
        Some((network, bits)) => (network, Some(bits.parse::<u32>().ok()?)),
        None => (range, None),
    };
    Some(match (network.parse().ok()?, address.parse().ok()?) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            let shift = 32_u32.checked_sub(bits.unwrap_or(32))?;
            let mask = u32::MAX.checked_shl(shift).unwrap_or(0);
            network.to_bits() & mask == address.to_bits() & mask
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => {
            let shift = 128_u32.checked_sub(bits.unwrap_or(128))?;
            let mask = u128::MAX.checked_shl(shift).unwrap_or(0);
            network.to_bits() & mask == address.to_bits() & mask
        }
        _ => false,
    })
}
