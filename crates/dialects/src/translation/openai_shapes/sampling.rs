//! Reads the sampling fields of OpenAI's endpoints.

use crate::translation::{
    json::Object,
    sampling::{Rules, SamplingFields},
};

impl<'a> SamplingFields<'a> {
    /// Takes the shared fields, and the token limit from the first of these names that is present.
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
                max_temperature: 2.0,
                budget_on_top: true,
            },
        }
    }
}
