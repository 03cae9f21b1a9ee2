//! A request over a rate limit: the error for the client and its labels for metrics.

use std::{fmt, time::Duration};

use api::{
    budget::{Amount, Period},
    config::AccessReference,
    prices::Nanodollars,
};

use super::time::rfc3339;

/// Wait before another try when too many requests are open; when one ends is unknown.
const CONCURRENCY_RETRY: Duration = Duration::from_secs(1);
/// Wait before another try when requests in progress hold the rest of a budget.
const IN_PROGRESS_RETRY: Duration = Duration::from_secs(2);
const MINUTE_SECONDS: u64 = 60;
const HOUR_SECONDS: u64 = 60 * MINUTE_SECONDS;

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    RequestsPerMinute,
    TokensPerMinute,
    TokensPerDay,
    ConcurrentRequests,
    /// In money or tokens, for a calendar period.
    Budget,
}

/// The state of a budget that has too little left for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BudgetState {
    pub(crate) period: Period,
    pub(crate) amount: Amount,
    /// What is spent, in nanodollars or tokens, like the next field.
    pub(crate) spent: u64,
    /// What the request may need.
    pub(crate) needed: u64,
    /// Seconds since 1970.
    pub(crate) resets_at: u64,
}

/// The owner of a quota.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// A BedrockAccess, by namespace and name.
    Access(String),
    /// A gateway whose configuration names no BedrockAccess.
    Gateway,
    /// A client, by name.
    Client(String),
}

/// A limit that is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverLimit {
    pub(crate) subject: Subject,
    pub(crate) kind: Kind,
    limit: u64,
    retry_in: Duration,
    budget: Option<BudgetState>,
}

impl Kind {
    /// The field of the configuration and of the BedrockAccess.
    pub(crate) fn field(self) -> &'static str {
        match self {
            Self::RequestsPerMinute => "requestsPerMinute",
            Self::TokensPerMinute => "tokensPerMinute",
            Self::TokensPerDay => "tokensPerDay",
            Self::ConcurrentRequests => "concurrentRequests",
            Self::Budget => "budgets",
        }
    }

    /// The unit that follows the number.
    fn unit(self) -> &'static str {
        match self {
            Self::RequestsPerMinute => "requests per minute",
            Self::TokensPerMinute => "tokens per minute",
            Self::TokensPerDay => "tokens per day (UTC)",
            Self::ConcurrentRequests => "concurrent requests",
            Self::Budget => "",
        }
    }

    /// Whether the limit counts tokens rather than requests.
    pub(crate) fn counts_tokens(self) -> bool {
        matches!(self, Self::TokensPerMinute | Self::TokensPerDay)
    }
}

impl Subject {
    /// The subject that all clients of a gateway share.
    pub(crate) fn shared(access: Option<&AccessReference>) -> Self {
        access.map_or(Self::Gateway, |access| {
            Self::Access(format!("{}/{}", access.namespace, access.name))
        })
    }

    /// The name; for a BedrockAccess with its namespace.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Access(name) | Self::Client(name) => name,
            Self::Gateway => "gateway",
        }
    }

    /// The metric label: `client`, or `access` for a quota that all clients share.
    pub(crate) fn scope(&self) -> &'static str {
        match self {
            Self::Access(_) | Self::Gateway => "access",
            Self::Client(_) => "client",
        }
    }
}

impl OverLimit {
    pub(crate) fn new(subject: &Subject, kind: Kind, limit: u64, retry_in: Duration) -> Self {
        Self {
            subject: subject.clone(),
            kind,
            limit,
            retry_in,
            budget: None,
        }
    }

    /// Too little is left of a budget, which starts again after a time.
    pub(crate) fn budget(subject: &Subject, state: BudgetState, until_reset: Duration) -> Self {
        let retry_in = if state.fits_alone() {
            IN_PROGRESS_RETRY
        } else {
            until_reset
        };
        Self {
            budget: Some(state),
            ..Self::new(subject, Kind::Budget, state.amount.count(), retry_in)
        }
    }

    /// Too many open requests.
    pub(crate) fn concurrent(subject: &Subject, limit: u64) -> Self {
        Self::new(subject, Kind::ConcurrentRequests, limit, CONCURRENCY_RETRY)
    }

    /// This error, unless the other has the longer wait: a request needs all limits to have room.
    pub(crate) fn or_longer(self, other: Option<Self>) -> Self {
        match other {
            Some(other) if other.retry_in >= self.retry_in => other,
            _ => self,
        }
    }

    /// Seconds until the next try, rounded up, at least 1.
    pub(crate) fn retry_after_seconds(&self) -> u64 {
        let part = u64::from(self.retry_in.subsec_nanos() > 0);
        self.retry_in.as_secs().saturating_add(part).max(1)
    }

    /// Whether the limit lasts for hours or days: SDKs do not retry it.
    pub(crate) fn is_lasting(&self) -> bool {
        match self.budget {
            Some(state) => !state.fits_alone(),
            None => self.kind == Kind::TokensPerDay,
        }
    }

    /// A stable word, which is OpenAI's `code`.
    pub(crate) fn reason(&self) -> &'static str {
        if self.is_lasting() {
            "insufficient_quota"
        } else {
            "rate_limit_exceeded"
        }
    }

    /// OpenAI's error `type`.
    pub(crate) fn openai_type(&self) -> &'static str {
        match self.kind {
            Kind::TokensPerDay => "insufficient_quota",
            Kind::Budget if self.is_lasting() => "insufficient_quota",
            Kind::TokensPerMinute | Kind::Budget => "tokens",
            Kind::RequestsPerMinute | Kind::ConcurrentRequests => "requests",
        }
    }
}

impl std::error::Error for OverLimit {}

impl fmt::Display for OverLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(state) = &self.budget {
            return state.write(&self.subject, f);
        }
        let (field, unit) = (self.kind.field(), self.kind.unit());
        let Self { subject, limit, .. } = self;
        write!(
            f,
            "{subject} has reached its limit of {limit} {unit} ({field}); try again "
        )?;
        if self.kind == Kind::ConcurrentRequests {
            return f.write_str("when one of the open requests has ended");
        }
        let seconds = self.retry_after_seconds();
        let (hours, rest) = (seconds / HOUR_SECONDS, seconds % HOUR_SECONDS);
        let (minutes, seconds) = (rest / MINUTE_SECONDS, rest % MINUTE_SECONDS);
        match (hours, minutes) {
            (0, 0) => write!(f, "in {seconds} s"),
            (0, _) => write!(f, "in {minutes} min {seconds} s"),
            _ => write!(f, "in {hours} h {minutes} min"),
        }
    }
}

impl BudgetState {
    /// Whether the request fits once those in progress have ended.
    fn fits_alone(&self) -> bool {
        self.spent.saturating_add(self.needed) <= self.amount.count()
    }

    fn write(&self, subject: &Subject, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { amount, .. } = self;
        let period = self.period.as_str();
        let left = amount.count().saturating_sub(self.spent);
        let reset = rfc3339(self.resets_at);
        if left == 0 {
            return write!(
                f,
                "{subject} has spent its budget of {amount} per {period} (budgets); it starts again at {reset}"
            );
        }
        let (needed, left) = (Counted(*amount, self.needed), Counted(*amount, left));
        write!(
            f,
            "the request may need {needed}, and {left} is left of the budget of {amount} per {period} (budgets) of {subject}; "
        )?;
        if self.fits_alone() {
            f.write_str("the rest is held at the moment: try again in a few seconds")
        } else {
            write!(
                f,
                "lower its maximum output tokens, or try again when the budget starts again at {reset}"
            )
        }
    }
}

/// A part of a budget, in its unit.
struct Counted(Amount, u64);

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Amount::Usd(_) => write!(f, "{} USD", Nanodollars(self.1)),
            Amount::Tokens(_) => write!(f, "{} tokens", self.1),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Access(name) => write!(f, "BedrockAccess {name}"),
            Self::Gateway => f.write_str("this gateway"),
            Self::Client(name) => write!(f, "the client {name}"),
        }
    }
}
