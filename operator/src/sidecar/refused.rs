//! Why a pod cannot get a sidecar. Each message names the fix.

use std::fmt::Display;

use api::names;

/// Why a pod is rejected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// The label is empty.
    #[error(
        "label {}: is empty. Set it to the name of a BedrockAccess in namespace {namespace}, or to \"false\".",
        names::INJECT_LABEL
    )]
    Nameless { namespace: String },
    /// The `BedrockAccess` does not exist.
    #[error(
        "label {}: BedrockAccess {access} does not exist in namespace {namespace}. Create it, or set the label to another name{}.",
        names::INJECT_LABEL,
        list(.others)
    )]
    NotFound {
        namespace: String,
        access: String,
        others: Vec<String>,
    },
    /// The `BedrockAccess` has no `spec.sidecar`.
    #[error(
        "BedrockAccess {namespace}/{access} does not allow sidecars. To allow them, run: kubectl --namespace {namespace} patch bda {access} --type=merge --patch '{{\"spec\":{{\"sidecar\":{{\"serviceAccounts\":[{{\"name\":\"{account}\"}}]}}}}}}' and add the ServiceAccount to the role's trust policy (see status.trustPolicy)"
    )]
    NoSidecars {
        namespace: String,
        access: String,
        account: String,
    },
    /// The pod's ServiceAccount is not listed.
    #[error(
        "ServiceAccount {account} cannot use the sidecar of BedrockAccess {namespace}/{access}: spec.sidecar.serviceAccounts lists {}. To allow it, run: kubectl --namespace {namespace} patch bda {access} --type=json --patch '[{{\"op\":\"add\",\"path\":\"/spec/sidecar/serviceAccounts/-\",\"value\":{{\"name\":\"{account}\"}}}}]' and add the ServiceAccount to the role's trust policy (see status.trustPolicy)",
        .allowed.join(", ")
    )]
    ServiceAccount {
        namespace: String,
        access: String,
        account: String,
        allowed: Vec<String>,
    },
    /// The `BedrockAccess` is invalid.
    #[error("BedrockAccess {namespace}/{access} is invalid: {problem}")]
    Invalid {
        namespace: String,
        access: String,
        problem: String,
    },
    /// No policy allows the `BedrockAccess`.
    #[error("BedrockAccess {namespace}/{access} is not allowed: {message}")]
    NotAccepted {
        namespace: String,
        access: String,
        message: String,
    },
    /// The API server did not respond.
    #[error("failed to look up BedrockAccess {namespace}/{access}: {problem}. Try again.")]
    Unknown {
        namespace: String,
        access: String,
        problem: String,
    },
    /// The pod cannot be parsed.
    #[error("failed to parse the pod: {0}")]
    Unparsable(String),
    /// A container has the sidecar's name.
    #[error(
        "container {}: this name is reserved for the sidecar. Rename your container, or remove the label {}.",
        names::GATEWAY_NAME,
        names::INJECT_LABEL
    )]
    ContainerTaken,
    /// A volume has the name of a sidecar volume.
    #[error("volume {name}: this name is reserved for the sidecar. Rename your volume.")]
    VolumeTaken { name: String },
    /// A container uses a port of the sidecar.
    #[error(
        "container {container}: port {port} is used by the sidecar ({field} of the BedrockAccess). Change one of the two ports."
    )]
    PortTaken {
        container: String,
        port: u16,
        field: &'static str,
    },
    /// The app could read the sidecar's files.
    #[error(
        "container {container}: runs as user {user}, like the sidecar. In a shared process namespace it could read the sidecar's token. Use another user."
    )]
    SameUser { container: String, user: i64 },
    /// The app could become a user who can read the sidecar's files.
    #[error(
        "container {container}: with {namespace} it could read the sidecar's token, because securityContext.{problem}. Remove {namespace} from the pod, or set in securityContext of each container: runAsUser (neither 0 nor {user}), allowPrivilegeEscalation: false, and capabilities: {{drop: [ALL]}}."
    )]
    SharedProcesses {
        container: String,
        namespace: &'static str,
        problem: &'static str,
        user: i64,
    },
    /// The mesh's proxy starts after the sidecar, which needs it.
    #[error(
        "container {proxy}: the mesh redirects the pod's network before its proxy runs, but the sidecar needs AWS before ordinary containers start. Inject the proxy as a native sidecar (annotation {annotation}: \"true\" on the pod)."
    )]
    MeshTooLate {
        proxy: &'static str,
        annotation: &'static str,
    },
    /// The system returns no random bytes.
    #[error("failed to generate a key for a pod on its node's network. Try again.")]
    NoRandomness,
    /// The sidecar has no Windows image.
    #[error("spec.os.name: the sidecar runs only on Linux")]
    Windows,
}

impl Refused {
    pub(super) fn unknown(namespace: &str, access: &str, problem: impl Display) -> Self {
        Self::Unknown {
            namespace: namespace.to_owned(),
            access: access.to_owned(),
            problem: problem.to_string(),
        }
    }

    /// A stable word for metrics and logs.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Nameless { .. } => "NoAccessNamed",
            Self::NotFound { .. } => "AccessNotFound",
            Self::NoSidecars { .. } => "NoSidecars",
            Self::ServiceAccount { .. } => "ServiceAccountNotAllowed",
            Self::Invalid { .. } => "InvalidSpec",
            Self::NotAccepted { .. } => "NotAccepted",
            Self::Unknown { .. } => "Retrying",
            Self::Unparsable(_) => "InvalidPod",
            Self::ContainerTaken => "ContainerTaken",
            Self::VolumeTaken { .. } => "VolumeTaken",
            Self::PortTaken { .. } => "PortTaken",
            Self::SameUser { .. } => "SameUser",
            Self::SharedProcesses { .. } => "SharedProcesses",
            Self::MeshTooLate { .. } => "MeshTooLate",
            Self::NoRandomness => "NoRandomness",
            Self::Windows => "Windows",
        }
    }

    /// The HTTP status of the refusal.
    pub(crate) fn code(&self) -> u16 {
        match self {
            Self::Unknown { .. } | Self::NoRandomness => 503,
            Self::Unparsable(_) => 400,
            _ => 403,
        }
    }

    /// Whether a newer version of the `BedrockAccess` could change the decision.
    pub(crate) fn depends_on_the_access(&self) -> bool {
        matches!(
            self,
            Self::NotFound { .. }
                | Self::NoSidecars { .. }
                | Self::ServiceAccount { .. }
                | Self::Invalid { .. }
                | Self::NotAccepted { .. }
                | Self::PortTaken { .. }
        )
    }
}

fn list(others: &[String]) -> String {
    if others.is_empty() {
        return String::new();
    }
    format!(". Available: {}", others.join(", "))
}
