//! Reads the usage of clients from the metrics of a gateway, in the text formats of Prometheus and OpenMetrics.

use std::collections::BTreeMap;

use api::prices::Nanodollars;
use serde::{Serialize, Serializer};

/// Usage of one client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// Requests for a model, failed ones included.
    pub requests: u64,
    /// Including cache reads and writes.
    pub input_tokens: u64,
    /// Including reasoning.
    pub output_tokens: u64,
    /// Input tokens read from the prompt cache.
    pub cache_read_tokens: u64,
    /// Input tokens written to the prompt cache.
    pub cache_write_tokens: u64,
    /// Requests rejected by a rate limit.
    pub refused: u64,
    /// In nanodollars, without tokens that have no price.
    #[serde(rename = "costUsd", serialize_with = "dollars")]
    pub cost: Nanodollars,
    /// Tokens whose price is unknown.
    pub unpriced_tokens: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn dollars<S: Serializer>(cost: &Nanodollars, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(cost.as_dollars())
}

/// Usage by client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// By name of the client.
    pub clients: BTreeMap<String, Usage>,
}

/// A metric, its labels and its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Name of the metric.
    pub name: String,
    /// Values of its labels, by name.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

impl Usage {
    /// Adds the usage of another gateway.
    pub fn add(&mut self, other: &Self) {
        self.combine(other, u64::saturating_add);
    }

    fn combine(&mut self, other: &Self, with: fn(u64, u64) -> u64) {
        for (own, other) in [
            (&mut self.requests, other.requests),
            (&mut self.input_tokens, other.input_tokens),
            (&mut self.output_tokens, other.output_tokens),
            (&mut self.cache_read_tokens, other.cache_read_tokens),
            (&mut self.cache_write_tokens, other.cache_write_tokens),
            (&mut self.refused, other.refused),
            (&mut self.cost.0, other.cost.0),
            (&mut self.unpriced_tokens, other.unpriced_tokens),
        ] {
            *own = with(*own, other);
        }
    }
}

impl Sample {
    /// The usage in a page of metrics. Gateways of version 0.2 and earlier have no counters for each client, but histograms.
    pub fn parse(page: &str) -> Self {
        Self::of(&Line::page(page))
    }

    /// The usage in the lines of a page.
    pub fn of(lines: &[Line]) -> Self {
        let has_counters = lines.iter().any(|line| {
            matches!(
                line.name.as_str(),
                "bedrock_gateway_client_requests_total" | "bedrock_gateway_tokens_total"
            )
        });
        let mut sample = Self::default();
        for line in lines {
            let label = |name: &str| line.labels.get(name).map(String::as_str);
            let Some(client) = label("client") else {
                continue;
            };
            let mut usage = Usage::default();
            let field = match line.name.as_str() {
                "bedrock_gateway_limit_refusals_total" => &mut usage.refused,
                "bedrock_gateway_client_requests_total" => &mut usage.requests,
                "bedrock_gateway_cost_dollars_total" => {
                    usage.cost = Nanodollars(whole(line.value * 1e9));
                    sample.add(client, &usage);
                    continue;
                }
                "bedrock_gateway_unpriced_tokens_total" => &mut usage.unpriced_tokens,
                "bedrock_gateway_cache_read_tokens_total" => &mut usage.cache_read_tokens,
                "bedrock_gateway_cache_write_tokens_total" => &mut usage.cache_write_tokens,
                "bedrock_gateway_tokens_total" => match label("type") {
                    Some("input") => &mut usage.input_tokens,
                    Some("output") => &mut usage.output_tokens,
                    _ => continue,
                },
                "gen_ai_server_request_duration_seconds_count" if !has_counters => {
                    &mut usage.requests
                }
                "gen_ai_client_token_usage_sum" if !has_counters => {
                    match label("gen_ai_token_type") {
                        Some("input") => &mut usage.input_tokens,
                        Some("output") => &mut usage.output_tokens,
                        Some("input_cache_read") => &mut usage.cache_read_tokens,
                        Some("input_cache_write") => &mut usage.cache_write_tokens,
                        _ => continue,
                    }
                }
                _ => continue,
            };
            *field = line.whole();
            sample.add(client, &usage);
        }
        sample
    }

    fn add(&mut self, client: &str, usage: &Usage) {
        let name = if client.is_empty() {
            "(anonymous)"
        } else {
            client
        };
        self.clients.entry(name.to_owned()).or_default().add(usage);
    }

    /// Subtracts an earlier sample of the same gateway.
    pub fn subtract(&mut self, earlier: &Self) {
        for (client, usage) in &mut self.clients {
            if let Some(earlier) = earlier.clients.get(client) {
                usage.combine(earlier, u64::saturating_sub);
            }
        }
    }
}

impl Line {
    /// The lines of a page, without comments.
    pub fn page(page: &str) -> Vec<Self> {
        page.lines().filter_map(Self::parse).collect()
    }

    /// The value as a whole number, at least 0.
    pub fn whole(&self) -> u64 {
        whole(self.value)
    }

    fn parse(line: &str) -> Option<Self> {
        if line.starts_with('#') {
            return None;
        }
        let Some((name, rest)) = line.split_once('{') else {
            let (name, rest) = line.split_once(' ')?;
            return Self::new(name, BTreeMap::new(), rest);
        };
        let mut labels = BTreeMap::new();
        let mut rest = rest;
        while let Some((label, quoted)) = rest.split_once("=\"") {
            if label.contains('}') {
                break;
            }
            let (value, after) = quoted_value(quoted)?;
            labels.insert(label.trim_start_matches(',').trim().to_owned(), value);
            rest = after;
            if rest.starts_with('}') {
                break;
            }
        }
        let (_, value) = rest.split_once('}')?;
        Self::new(name, labels, value)
    }

    fn new(name: &str, labels: BTreeMap<String, String>, rest: &str) -> Option<Self> {
        let text = rest.split_whitespace().next()?;
        Some(Self {
            name: name.to_owned(),
            labels,
            value: text.parse().ok()?,
        })
    }
}

/// The value of a label up to its closing quote, and the rest.
fn quoted_value(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((index, c)) = characters.next() {
        match c {
            '"' => return Some((value, text.get(index..)?.strip_prefix('"')?)),
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

/// A number of requests or tokens, which formats write as `12`, `12.0` or `1.2e3`.
fn whole(number: f64) -> u64 {
    // Counts above 2^53 have lost their last digits already.
    format!("{:.0}", number.max(0.0))
        .parse()
        .unwrap_or_default()
}
