//! What a request has spent, by how it ended. Pure.

use api::prices::{Tier, TierPrices, Units};
use bedrock::converse::TokenUsage;

use super::holds::{Need, Spent};
use crate::pipeline::cost::{Cost, OtherUnits, units};

/// What is known of a request that has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended<'a> {
    /// Whether a call to Bedrock has begun.
    pub(crate) is_sent: bool,
    pub(crate) is_stream: bool,
    pub(crate) has_client_left: bool,
    /// Empty after success.
    pub(crate) reason: &'a str,
    pub(crate) usage: Option<TokenUsage>,
    /// What the request record reports.
    pub(crate) cost: Cost,
    /// Events of a stream that ended without usage.
    pub(crate) events: u64,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Nothing was sent to Bedrock, or Bedrock rejected it.
    Free,
    /// Bedrock has reported what it bills; no usage for what is not billed by the token.
    Reported {
        usage: Option<TokenUsage>,
        cost: Cost,
    },
    /// A stream ended without usage, after this number of events.
    Cut { events: u64 },
    /// A response without usage, or one that Bedrock completes although the client has left.
    Whole,
    /// No response in time, or a stream without an event.
    Unanswered,
}

impl Ended<'_> {
    /// How the request ended.
    pub(crate) fn ending(&self) -> Ending {
        let Self { usage, cost, .. } = *self;
        if !self.is_sent {
            Ending::Free
        } else if self.has_client_left && !self.is_stream {
            Ending::Whole
        } else if usage.is_some() || cost.known().is_some() {
            Ending::Reported { usage, cost }
        } else if self.events > 0 {
            let events = self.events;
            Ending::Cut { events }
        } else {
            match self.reason {
                "" => Ending::Whole,
                _ if self.has_client_left => Ending::Unanswered,
                "upstream_timeout" | "response_timeout" | "stream_idle" => Ending::Unanswered,
                _ => Ending::Free,
            }
        }
    }
}

impl Need {
    /// What a request that needed this has spent, at the prices of the target that served it.
    pub(crate) fn spent(&self, ending: Ending, prices: Option<&TierPrices>) -> Spent {
        match ending {
            Ending::Free => Spent::default(),
            Ending::Whole => self.most(),
            Ending::Unanswered => self.least(),
            Ending::Cut { events } => {
                let least = self.least();
                let output = Units {
                    output: events,
                    ..Units::default()
                };
                Spent {
                    tokens: least.tokens.saturating_add(events),
                    nanodollars: least
                        .nanodollars
                        .saturating_add(standard(prices, &output).unwrap_or(0)),
                }
            }
            Ending::Reported { usage, cost } => {
                let usage = usage.unwrap_or_default();
                Spent {
                    tokens: usage.prompt_tokens().saturating_add(usage.output_tokens),
                    nanodollars: match cost {
                        Cost::Nothing => 0,
                        Cost::Known(amount) => amount.0,
                        // A tier without a price: that of the standard tier, or else what the request held.
                        Cost::Unpriced(_) => {
                            let cost = standard(prices, &units(&usage, OtherUnits::default()));
                            cost.unwrap_or(self.most().nanodollars)
                        }
                    },
                }
            }
        }
    }
}

/// The cost in the standard tier, if each unit has a price.
fn standard(prices: Option<&TierPrices>, units: &Units) -> Option<u64> {
    let price = prices?.tier(Tier::Standard)?;
    price.covers(units).then(|| price.cost(units).0)
}

#[cfg(test)]
mod tests {
    use api::prices::Nanodollars;
    use bedrock::converse::BilledTier;

    use super::*;

    /// Amazon Nova Lite: 60 nanodollars for an input token and 240 for an output token.
    fn check(ending: Ending, tokens: u64, nanodollars: u64) {
        let (least, most) = (
            Spent {
                tokens: 10,
                nanodollars: 600,
            },
            Spent {
                tokens: 110,
                nanodollars: 24_600,
            },
        );
        let prices = api::prices::builtin().of_target("amazon.nova-lite-v1:0", "us-east-1");
        let spent = Need::between(least, most).spent(ending, prices);
        let expected = Spent {
            tokens,
            nanodollars,
        };
        assert_eq!(spent, expected, "{ending:?}");
    }

    #[test]
    fn what_is_reported_is_spent_and_the_rest_is_estimated() {
        let usage = TokenUsage {
            input_tokens: 12,
            output_tokens: 5,
            ..TokenUsage::default()
        };
        let reported = |usage: TokenUsage, cost| Ending::Reported {
            usage: Some(usage),
            cost,
        };
        check(Ending::Free, 0, 0);
        check(Ending::Whole, 110, 24_600);
        check(Ending::Unanswered, 10, 600);
        check(Ending::Cut { events: 7 }, 17, 600 + 7 * 240);
        let known = Cost::Known(Nanodollars(1_920));
        check(reported(usage, known), 17, 1_920);
        let image = Ending::Reported {
            usage: None,
            cost: Cost::Known(Nanodollars(40_000_000)),
        };
        check(image, 0, 40_000_000);
    }

    #[test]
    fn a_request_is_free_only_if_bedrock_cannot_have_billed_it() {
        let usage = TokenUsage::default();
        let sent = Ended {
            is_sent: true,
            is_stream: true,
            has_client_left: false,
            reason: "",
            usage: None,
            cost: Cost::Nothing,
            events: 0,
        };
        let left = Ended {
            has_client_left: true,
            reason: "client_left",
            ..sent
        };
        let (cost, reported) = (sent.cost, Some(usage));
        let known = Cost::Known(Nanodollars(5));
        for (case, ended, expected) in [
            (
                "not sent",
                Ended {
                    is_sent: false,
                    ..left
                },
                Ending::Free,
            ),
            (
                "rejected",
                Ended {
                    reason: "throttled",
                    ..sent
                },
                Ending::Free,
            ),
            (
                "no response in time",
                Ended {
                    reason: "upstream_timeout",
                    ..sent
                },
                Ending::Unanswered,
            ),
            ("left a stream early", left, Ending::Unanswered),
            (
                "left a stream",
                Ended { events: 3, ..left },
                Ending::Cut { events: 3 },
            ),
            (
                "left a batch after a call",
                Ended {
                    is_stream: false,
                    usage: reported,
                    ..left
                },
                Ending::Whole,
            ),
            ("without usage", sent, Ending::Whole),
            (
                "with usage",
                Ended {
                    usage: reported,
                    ..sent
                },
                Ending::Reported {
                    usage: reported,
                    cost,
                },
            ),
            (
                "images",
                Ended {
                    cost: known,
                    ..sent
                },
                Ending::Reported {
                    usage: None,
                    cost: known,
                },
            ),
        ] {
            assert_eq!(ended.ending(), expected, "{case}");
        }
    }

    #[test]
    fn unknown_price_is_never_zero() {
        let usage = TokenUsage {
            input_tokens: 12,
            output_tokens: 5,
            tier: BilledTier::Other,
            ..TokenUsage::default()
        };
        let unpriced = Ending::Reported {
            usage: Some(usage),
            cost: Cost::Unpriced(17),
        };
        check(unpriced, 17, 12 * 60 + 5 * 240);
        let least = Spent::default();
        let most = Spent {
            tokens: 1,
            nanodollars: 9,
        };
        let spent = Need::between(least, most).spent(unpriced, None);
        assert_eq!(spent.nanodollars, 9);
    }
}
