//! Warnings about dropped and changed fields; in strict mode they are errors.

use super::error::RequestError;

/// The end of a warning about a field that was dropped.
pub(crate) const DROPPED: &str = "; dropped";

/// Maximum number of warnings.
const MAX: usize = 16;
/// Maximum length of a warning in bytes; warnings are sent as headers.
const MAX_LENGTH: usize = 240;

/// Collects warnings.
#[derive(Debug, Default)]
pub(crate) struct Warnings {
    strict: bool,
    warnings: Vec<String>,
}

impl Warnings {
    pub(crate) const fn new(strict: bool) -> Self {
        Self {
            strict,
            warnings: Vec::new(),
        }
    }

    /// A field that is not supported and can be left out safely.
    pub(crate) fn dropped(&mut self, param: &str, why: &str) -> Result<(), RequestError> {
        if self.strict {
            return Err(RequestError::unsupported(
                param,
                format!("{why}; strict mode rejects fields that would be dropped"),
            ));
        }
        self.push(&format!("{param}: {why}{DROPPED}"));
        Ok(())
    }

    /// A field whose value was changed.
    pub(crate) fn changed(&mut self, param: &str, how: &str) -> Result<(), RequestError> {
        if self.strict {
            return Err(RequestError::unsupported(
                param,
                format!("would be changed: {how}; strict mode rejects this"),
            ));
        }
        self.push(&format!("{param}: {how}"));
        Ok(())
    }

    /// Information about a request that is not a problem of the request.
    pub(crate) fn info(&mut self, param: &str, what: &str) {
        self.push(&format!("{param}: {what}"));
    }

    pub(crate) fn into_vec(self) -> Vec<String> {
        self.warnings
    }

    fn push(&mut self, warning: &str) {
        let clean: String = warning
            .chars()
            .map(|c| {
                if c == ' ' || c.is_ascii_graphic() {
                    c
                } else {
                    '?'
                }
            })
            .take(MAX_LENGTH)
            .collect();
        if self.warnings.len() < MAX && !self.warnings.contains(&clean) {
            self.warnings.push(clean);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_limited_distinct_and_valid_in_headers() {
        let mut warnings = Warnings::new(false);
        for index in 0..100 {
            warnings
                .dropped(&format!("x\r\nSet-Cookie: {}", index / 2), &"ä".repeat(999))
                .unwrap();
        }
        let warnings = warnings.into_vec();
        assert_eq!(warnings.len(), MAX);
        assert!(warnings.iter().all(|warning| warning.len() <= MAX_LENGTH));
        assert!(
            warnings
                .iter()
                .all(|warning| !warning.contains(['\r', '\n', 'ä']))
        );
    }

    #[test]
    fn strict_mode_rejects_the_field_by_name() {
        let error = Warnings::new(true)
            .dropped("seed", "not supported")
            .unwrap_err();
        assert_eq!(error.param.as_deref(), Some("seed"));
    }
}
