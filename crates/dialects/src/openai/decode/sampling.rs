//! Where endpoints of OpenAI's have their sampling fields.

use super::super::json::Object;
pub(crate) use crate::translation::sampling::{Given, Rules, decode};

impl<'a> Given<'a> {
    /// The fields of Chat Completions.
    pub(crate) fn take(body: &mut Object<'a>) -> Self {
        Self::with_limit(body, &["max_completion_tokens", "max_tokens"])
    }

    /// The fields all endpoints share, and a limit of tokens by one of these names; the first wins.
    pub(crate) fn with_limit(body: &mut Object<'a>, names: &[&'static str]) -> Self {
        let mut limit = None;
        for name in names {
            let value = body.take(name);
            limit = limit.or_else(|| Some((value?, *name)));
        }
        Self {
            temperature: body.take("temperature"),
            top_p: body.take("top_p"),
            top_k: body.take("top_k"),
            stop: body.take("stop"),
            limit,
            rules: Rules {
                stop: "stop",
                most_temperature: 2.0,
                budget_on_top: true,
            },
        }
    }
}
