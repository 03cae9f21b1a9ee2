//! Why a request is not taken, for the client and for numbers.

use std::{fmt, time::Duration};

use api::config::AccessReference;

use crate::pipeline::rate_limit::counts::{Kind, Standing};

/// How long to wait for one of the open requests to end, which nobody knows.
const PLACE_TIMEOUT: Duration = Duration::from_secs(1);
const MINUTE_SECONDS: u64 = 60;
const HOUR_SECONDS: u64 = 60 * MINUTE_SECONDS;

/// Whose limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// An access, by namespace and name.
    Access(String),
    /// A gateway whose configuration was written by hand.
    Gateway,
    /// A client, by its name.
    Client(String),
}

/// A limit that is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverLimit {
    pub(crate) holder: Holder,
    pub(crate) kind: Kind,
    limit: u64,
    frees_in: Duration,
}

impl Holder {
    pub(crate) fn of(access: Option<&AccessReference>) -> Self {
        access.map_or(Self::Gateway, |access| {
            Self::Access(format!("{}/{}", access.namespace, access.name))
        })
    }

    /// The name, of an access with its namespace.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Access(name) | Self::Client(name) => name,
            Self::Gateway => "gateway",
        }
    }

    /// For a metric: whether it is one client's, or everybody's.
    pub(crate) fn scope(&self) -> &'static str {
        match self {
            Self::Access(_) | Self::Gateway => "access",
            Self::Client(_) => "client",
        }
    }
}

impl OverLimit {
    pub(crate) fn full(holder: &Holder, standing: Standing) -> Self {
        Self {
            holder: holder.clone(),
            kind: standing.kind,
            limit: standing.limit,
            frees_in: standing.frees_in,
        }
    }

    pub(crate) fn crowded(holder: &Holder, limit: u64) -> Self {
        Self {
            holder: holder.clone(),
            kind: Kind::ConcurrentRequests,
            limit,
            frees_in: PLACE_TIMEOUT,
        }
    }

    /// This one, unless the other takes longer: what frees first does not help.
    pub(crate) fn or_longer(self, other: Option<Self>) -> Self {
        match other {
            Some(other) if other.frees_in >= self.frees_in => other,
            _ => self,
        }
    }

    /// When to ask again, in whole seconds, rounded up.
    pub(crate) fn retry_after_seconds(&self) -> u64 {
        let part = u64::from(self.frees_in.subsec_nanos() > 0);
        self.frees_in.as_secs().saturating_add(part).max(1)
    }

    /// Whether asking again within minutes makes no sense.
    pub(crate) fn is_of_the_day(&self) -> bool {
        self.kind == Kind::TokensPerDay
    }

    /// A stable word, which is OpenAI's `code`.
    pub(crate) fn reason(&self) -> &'static str {
        if self.is_of_the_day() {
            "insufficient_quota"
        } else {
            "rate_limit_exceeded"
        }
    }

    /// OpenAI's `type`, which says what there is too much of.
    pub(crate) fn openai_type(&self) -> &'static str {
        match self.kind {
            Kind::TokensPerDay => "insufficient_quota",
            Kind::TokensPerMinute => "tokens",
            Kind::RequestsPerMinute | Kind::ConcurrentRequests => "requests",
        }
    }
}

impl std::error::Error for OverLimit {}

impl fmt::Display for OverLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            holder,
            kind,
            limit,
            ..
        } = self;
        let (field, unit) = (kind.field(), kind.unit());
        write!(
            f,
            "{holder} has reached its limit of {limit} {unit} ({field}); try again "
        )?;
        if *kind == Kind::ConcurrentRequests {
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

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Access(name) => write!(f, "BedrockAccess {name}"),
            Self::Gateway => f.write_str("this gateway"),
            Self::Client(name) => write!(f, "the client {name}"),
        }
    }
}
