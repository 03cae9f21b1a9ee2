//! `GET /`: the gateway for people, as text or, in a browser, as HTML: base URLs, authentication, models and paths.
//!
//! Without credentials, the page has only what is the same for every gateway of a version, and how to authenticate. A
//! caller that is authenticated also sees the region, the BedrockAccess, and the models that it may use. In a browser, it has a
//! chat, whose script sends the key that the user types to this gateway only: the page loads nothing, and its
//! Content-Security-Policy allows one style, one script and requests to its own origin.

mod render;

use std::sync::LazyLock;

use axum::{Extension, body::Body, extract::State as FromState, response::Response};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderValue, Uri, header};
use sha2::{Digest as _, Sha256};

use super::{models, openapi};
use crate::{
    http::{dialect::Dialect, error::GatewayError},
    pipeline::{
        active_config::ActiveConfig, authenticate::Caller, context::RequestContext, driver::finish,
        record::RequestRecord, state::State,
    },
};
use render::{Page, Section};

pub(crate) const PATH: &str = "/";

/// Models on the page; `/v1/models` lists all.
const MAX_MODELS: usize = 20;
/// Longest host name of a base URL.
const MAX_HOST: usize = 255;

/// Only the style and the script of the page itself are allowed, and no text becomes markup.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let [style, script] =
        [render::STYLE, render::SCRIPT].map(|text| STANDARD.encode(Sha256::digest(text)));
    format!(
        "default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'; connect-src 'self'; base-uri 'none'; \
        form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )
});

pub(crate) async fn handle(
    FromState(state): FromState<State>,
    Extension(context): Extension<RequestContext>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let mut record = RequestRecord::open(&state, &context, PATH, "");
    let active = state.active();
    let caller = active.authenticator.authenticate(&headers, state.now());
    if let Ok(caller) = &caller {
        record.set_client(&caller.name);
    }
    let models = match &caller {
        Ok(caller) => {
            let listed = state.model_list().ids(&state).await;
            models::entries(&active, caller, listed.as_deref())
        }
        Err(_) => Vec::new(),
    };
    let page = page(
        &state,
        &active,
        (caller.as_ref(), &models),
        &base_url(&state, &active, &uri, &headers),
    );
    let (kind, text) = if wants_html(&headers) {
        ("text/html; charset=utf-8", page.html())
    } else {
        ("text/plain; charset=utf-8", page.text())
    };
    let mut response = Response::new(Body::from(text));
    let out = response.headers_mut();
    out.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    if let Ok(policy) = HeaderValue::from_str(&POLICY) {
        out.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (header::VARY, "accept, authorization, x-api-key"),
    ] {
        out.insert(name, HeaderValue::from_static(value));
    }
    finish(Ok(response), Dialect::OpenAi, record)
}

fn page(
    state: &State,
    active: &ActiveConfig,
    (caller, models): (Result<&Caller, &GatewayError>, &[(String, String)]),
    url: &str,
) -> Page {
    let version = env!("CARGO_PKG_VERSION");
    let mut page = Page {
        title: format!("bedrock-gateway {version}"),
        notes: vec!["Amazon Bedrock for clients of OpenAI, Anthropic, Cohere and AWS.".to_owned()],
        sections: Vec::new(),
    };
    if state.settings().simulated {
        page.notes.push(
            "SIMULATED AWS: responses do not come from a model; nothing leaves this machine."
                .to_owned(),
        );
    }
    if caller.is_ok() {
        page.notes
            .push(format!("Region: {}", active.routes.region().as_str()));
        if let Some(access) = &active.config.access {
            page.notes.push(format!(
                "BedrockAccess: {}/{}",
                access.namespace, access.name
            ));
        }
    }
    page.sections.push(Section::new(
        "Base URLs",
        vec![
            ("OpenAI clients".to_owned(), format!("{url}/v1")),
            ("Anthropic clients".to_owned(), url.to_owned()),
            ("AWS SDKs (boto3: endpoint_url)".to_owned(), url.to_owned()),
        ],
    ));
    page.sections.push(Section::new(
        "Authentication",
        vec![(authentication(active, caller), String::new())],
    ));
    if caller.is_ok() {
        page.sections.push(models_section(models));
    }
    let paths = openapi::operations();
    let row = |operation: &openapi::Operation<'_>| {
        let path = format!("{} {}", operation.method, operation.path);
        (path, operation.summary.to_owned())
    };
    page.sections
        .push(Section::new("Paths", paths.iter().map(row).collect()));
    page.sections.push(Section::new(
        "Documentation",
        vec![
            (
                format!("{url}{}", openapi::PATH),
                "every path and request field".to_owned(),
            ),
            (
                "docs/guide".to_owned(),
                "guides, in the gateway's source repository".to_owned(),
            ),
        ],
    ));
    page
}

fn authentication(active: &ActiveConfig, caller: Result<&Caller, &GatewayError>) -> String {
    match caller {
        Ok(_) if active.authenticator.is_open() => {
            "None. Clients that require an API key can send any value.".to_owned()
        }
        Ok(caller) => format!("Authenticated as {}.", caller.name),
        Err(error) => format!("Not authenticated: {error}"),
    }
}

fn models_section(found: &[(String, String)]) -> Section {
    let mut rows: Vec<(String, String)> = found
        .iter()
        .take(MAX_MODELS)
        .map(|(name, id)| {
            (
                name.clone(),
                if name == id {
                    String::new()
                } else {
                    id.clone()
                },
            )
        })
        .collect();
    let more = found.len().saturating_sub(MAX_MODELS);
    if more > 0 {
        rows.push((format!("and {more} more"), format!("GET {}", models::PATH)));
    }
    Section::new(&format!("Models ({})", found.len()), rows)
}

/// The URL at which the client reaches this gateway, without a slash at the end.
fn base_url(state: &State, active: &ActiveConfig, uri: &Uri, headers: &HeaderMap) -> String {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text("host")
        .or_else(|| uri.authority().map(http::uri::Authority::as_str))
        .filter(|host| is_host(host));
    let encrypted = active.tls.is_some() || text("x-forwarded-proto") == Some("https");
    let scheme = if encrypted { "https" } else { "http" };
    match host {
        Some(host) => format!("{scheme}://{host}"),
        None => format!("{scheme}://{}", state.settings().listen),
    }
}

/// Whether a text can be a host with a port.
fn is_host(text: &str) -> bool {
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    !text.is_empty() && text.len() <= MAX_HOST && text.bytes().all(is_safe)
}

/// Whether the client names HTML, and prefers it to text.
fn wants_html(headers: &HeaderMap) -> bool {
    let quality = |wanted: &str| {
        headers
            .get_all(header::ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|range| {
                let mut parts = range.split(';').map(str::trim);
                if !parts.next()?.eq_ignore_ascii_case(wanted) {
                    return None;
                }
                let weight = parts.find_map(|part| part.strip_prefix("q="));
                weight.map_or(Some(1.0), |weight| weight.parse::<f32>().ok())
            })
            .fold(0.0, f32::max)
    };
    quality("text/html") > quality("text/plain")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_is_for_clients_that_prefer_it() {
        for (accept, expected) in [
            (
                "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
                true,
            ),
            ("text/plain;q=0.5, text/html", true),
            ("*/*", false),
            ("", false),
            ("text/html;q=0", false),
            ("text/plain, text/html;q=0.9", false),
            ("application/json", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(wants_html(&headers), expected, "{accept}");
        }
        assert!(!wants_html(&HeaderMap::new()));
    }

    #[test]
    fn only_host_names_become_a_base_url() {
        for good in ["localhost:8000", "[::1]:8000", "chat-gateway.team-a.svc"] {
            assert!(is_host(good), "{good}");
        }
        for bad in ["", "a/b", "a\"onload=", "<script>", "user@host", "a b"] {
            assert!(!is_host(bad), "{bad}");
        }
    }
}
