//! The API server's audit log: requests and their users, so that a test can count writes.

use std::path::Path;

use serde::Deserialize;

use crate::{Error, Result};

/// Every finished request, without bodies.
pub(crate) const POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules:
  - level: Metadata
";

/// One finished request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditEvent {
    /// "get", "list", "watch", "create", "update", "patch", "delete" or "deletecollection".
    pub verb: String,
    /// User, such as "system:serviceaccount:operators:operator".
    pub user: String,
    /// User agent.
    pub user_agent: String,
    /// Path and query.
    pub uri: String,
    /// Plural name of the resource with its subresource, such as "pods/status"; empty for other paths.
    pub resource: String,
    /// Namespace of the object, if any.
    pub namespace: String,
    /// Name of the object, if known.
    pub name: String,
    /// HTTP status of the response.
    pub code: u16,
}

impl AuditEvent {
    /// Whether the request is a write.
    pub fn is_write(&self) -> bool {
        !matches!(self.verb.as_str(), "get" | "list" | "watch")
    }

    /// Every request in the audit log at `path`, in the order of their completion.
    ///
    /// # Errors
    /// When the log cannot be read, or a line is not an audit event.
    pub fn read(path: &Path) -> Result<Vec<Self>> {
        let text = std::fs::read_to_string(path).map_err(Error::file("read", path))?;
        // A last line without a line break is incomplete.
        let complete = text
            .rfind('\n')
            .and_then(|end| text.get(..end))
            .unwrap_or_default();
        complete.lines().map(Self::parse).collect()
    }

    fn parse(line: &str) -> Result<Self> {
        let raw: Raw = serde_json::from_str(line).map_err(|error| Error::Unexpected {
            what: "the audit log".to_owned(),
            detail: error.to_string(),
        })?;
        let object = raw.object_ref.unwrap_or_default();
        let resource = match object.subresource.as_str() {
            "" => object.resource,
            subresource => format!("{}/{subresource}", object.resource),
        };
        Ok(Self {
            verb: raw.verb,
            user: raw.user.username,
            user_agent: raw.user_agent,
            uri: raw.request_uri,
            resource,
            namespace: object.namespace,
            name: object.name,
            code: raw.response_status.code,
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    verb: String,
    #[serde(default)]
    user: User,
    #[serde(default)]
    user_agent: String,
    #[serde(rename = "requestURI", default)]
    request_uri: String,
    object_ref: Option<Object>,
    #[serde(default)]
    response_status: Status,
}

#[derive(Deserialize, Default)]
struct User {
    #[serde(default)]
    username: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Object {
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Deserialize, Default)]
struct Status {
    #[serde(default)]
    code: u16,
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"kind":"Event","verb":"patch","user":{"username":"admin"},"userAgent":"kubectl","requestURI":"/api/v1/namespaces/a/pods/b/status","objectRef":{"resource":"pods","namespace":"a","name":"b","subresource":"status"},"responseStatus":{"code":200}}"#;

    #[test]
    fn a_patch_of_a_subresource_is_a_write_and_names_its_object() {
        let event = AuditEvent::parse(LINE).unwrap();
        assert!(event.is_write());
        assert_eq!(
            (event.resource.as_str(), event.name.as_str(), event.code),
            ("pods/status", "b", 200)
        );
    }

    #[test]
    fn a_line_still_being_written_is_left_for_the_next_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit.log");
        std::fs::write(&path, format!("{LINE}\n{{\"verb\":\"cre")).unwrap();
        assert_eq!(AuditEvent::read(&path).unwrap().len(), 1);
    }
}
