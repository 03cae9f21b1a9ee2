//! What is known of a request before its route: its name, the client's own where it sends one, else a new one, on
//! every answer; and the trace it goes on.

use axum::{
    extract::{Request, State as FromState},
    middleware::Next,
    response::Response,
};
use http::{HeaderName, HeaderValue};

use crate::{server::router::State, telemetry::traces::Origin};

/// Header of requests and answers.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// Longest name taken from a client.
const LONGEST: usize = 128;

/// What is known of a request before its route, as an extension of it.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    /// The request's name.
    pub(crate) id: String,
    /// Where its span begins; none where traces go nowhere.
    pub(crate) origin: Option<Origin>,
}

/// Writes down what is known, and the name on the answer.
pub(crate) async fn note(
    FromState(state): FromState<State>,
    mut request: Request,
    next: Next,
) -> Response {
    let id = request
        .headers()
        .get(HEADER)
        .and_then(|value| value.to_str().ok())
        .filter(|text| is_sane(text))
        .map_or_else(generate, ToOwned::to_owned);
    let value = HeaderValue::try_from(id.as_str());
    let origin = state.traces().map(|traces| traces.origin(&request));
    request.extensions_mut().insert(Arrival { id, origin });
    let mut response = next.run(request).await;
    if let Ok(value) = value {
        response.headers_mut().insert(HEADER, value);
    }
    response
}

/// What may go into a log and a header without any doubt.
fn is_sane(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= LONGEST
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:/=+".contains(&byte))
}

fn generate() -> String {
    format!("req_{:032x}", fastrand::u128(..))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_of_a_client_is_taken_only_where_it_can_do_no_harm() {
        assert!(is_sane("3f2a-bc.D_1"));
        for text in ["", "a b", "a\nb", "<script>", &"x".repeat(129)] {
            assert!(!is_sane(text), "{text:?}");
        }
        assert!(is_sane(&generate()));
        assert_ne!(generate(), generate());
    }
}
