//! The canonical form of a request, which is signed. Pure.

use std::borrow::Cow;

use http::HeaderValue;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Everything except unreserved characters and the slash between segments.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');
/// Everything except unreserved characters, and the percent sign of what is encoded already.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'%');
/// Usual length of the text without the body's hash.
const USUAL_BYTES: usize = 1024;

/// A canonical request, header by header.
#[derive(Debug)]
pub(super) struct Canonical(String);

impl Canonical {
    pub(super) fn new(method: &str, path: &str, query: Option<&str>) -> Self {
        let mut text = String::with_capacity(USUAL_BYTES);
        text.extend([method, "\n"]);
        text.extend(utf8_percent_encode(path, PATH));
        text.push('\n');
        if let Some(query) = query {
            text.push_str(&sorted(query));
        }
        text.push('\n');
        Self(text)
    }

    /// Adds a header with all its values. None if it has no value, or one that is not visible ASCII.
    pub(super) fn header<'v>(
        &mut self,
        name: &str,
        values: impl IntoIterator<Item = &'v HeaderValue>,
    ) -> Option<()> {
        self.0.push_str(name);
        let mut separator = ':';
        for value in values {
            self.0.push(separator);
            separator = ',';
            let text = value.to_str().ok()?;
            if memchr::memchr2(b' ', b'\t', text.as_bytes()).is_none() {
                self.0.push_str(text);
                continue;
            }
            // Spaces around a value are removed, several in a row are one.
            for (index, word) in text.split_ascii_whitespace().enumerate() {
                if index > 0 {
                    self.0.push(' ');
                }
                self.0.push_str(word);
            }
        }
        self.0.push('\n');
        (separator == ',').then_some(())
    }

    /// Adds a header with one value.
    pub(super) fn text(&mut self, name: &str, value: &str) {
        self.0.extend([name, ":", value, "\n"]);
    }

    pub(super) fn finish(mut self, signed_headers: &str, body_hash: &str) -> String {
        self.0.extend(["\n", signed_headers, "\n", body_hash]);
        self.0
    }
}

/// The query with its pairs in the order of their names, then of their values.
fn sorted(query: &str) -> String {
    let encoded = |text| utf8_percent_encode(text, QUERY).to_string();
    let mut pairs: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (encoded(name), encoded(value)))
        .collect();
    pairs.sort();
    let pairs: Vec<String> = pairs
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.join("&")
}

/// A path without empty segments, `.` and `..`, as AWS verifies it. Paths of Bedrock have none.
/// <https://www.rfc-editor.org/rfc/rfc3986#section-5.2.4>
pub(super) fn normalized(path: &str) -> Cow<'_, str> {
    let is_dots = |segment: &str| matches!(segment, "." | "..");
    if !path.contains("//") && !path.split('/').any(is_dots) {
        return path.into();
    }
    let mut segments = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            other => segments.push(other),
        }
    }
    let is_directory = path
        .rsplit('/')
        .next()
        .is_some_and(|last| last.is_empty() || is_dots(last));
    let end = if is_directory && !segments.is_empty() {
        "/"
    } else {
        ""
    };
    format!("/{}{end}", segments.join("/")).into()
}
