//! Why a pod may not have the sidecar it asks for: each text names what to change.

use api::names;

/// Why a pod is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// The label is there and empty.
    #[error(
        "label {}: names no BedrockAccess: set it to the name of one in namespace {namespace}, or to \"false\"",
        names::INJECT_LABEL
    )]
    Nameless { namespace: String },
    /// There is no access of that name.
    #[error(
        "label {}: there is no BedrockAccess {access} in namespace {namespace}: make it first, or name another{}",
        names::INJECT_LABEL,
        list(.others)
    )]
    NoAccess {
        namespace: String,
        access: String,
        others: Vec<String>,
    },
    /// The access gives out no sidecars.
    #[error(
        "BedrockAccess {namespace}/{access} gives out no sidecars. To allow it: kubectl --namespace {namespace} patch bda {access} --type=merge --patch '{{\"spec\":{{\"sidecar\":{{\"serviceAccounts\":[{{\"name\":\"{account}\"}}]}}}}}}', and let the role trust the ServiceAccount (status.trustPolicy)"
    )]
    NoSidecars {
        namespace: String,
        access: String,
        account: String,
    },
    /// The pod's ServiceAccount is not on the list.
    #[error(
        "ServiceAccount {account} may not have the sidecar of BedrockAccess {namespace}/{access}: spec.sidecar.serviceAccounts names {}. To allow it: kubectl --namespace {namespace} patch bda {access} --type=json --patch '[{{\"op\":\"add\",\"path\":\"/spec/sidecar/serviceAccounts/-\",\"value\":{{\"name\":\"{account}\"}}}}]', and let the role trust the ServiceAccount (status.trustPolicy)",
        .allowed.join(", ")
    )]
    ServiceAccount {
        namespace: String,
        access: String,
        account: String,
        allowed: Vec<String>,
    },
    /// The access itself is not usable.
    #[error("BedrockAccess {namespace}/{access} cannot be used as it stands: {problem}")]
    Unusable {
        namespace: String,
        access: String,
        problem: String,
    },
    /// No policy of the cluster's lets the access be.
    #[error("BedrockAccess {namespace}/{access} is not accepted: {message}")]
    NotAccepted {
        namespace: String,
        access: String,
        message: String,
    },
    /// The API server could not be asked.
    #[error("unable to look for BedrockAccess {namespace}/{access}: {problem}; try again")]
    Unknown {
        namespace: String,
        access: String,
        problem: String,
    },
    /// The pod is not of a shape that we know.
    #[error("the pod does not parse: {0}")]
    Unparsable(String),
    /// A container of the sidecar's name.
    #[error(
        "container {} is taken: it is the name of the sidecar; rename yours, or remove the label {}",
        names::GATEWAY_NAME,
        names::INJECT_LABEL
    )]
    ContainerTaken,
    /// A volume of a name of the sidecar's.
    #[error(
        "volume {name}: it is the name of a volume of the sidecar's and holds something else; rename yours"
    )]
    VolumeTaken { name: String },
    /// A port of the sidecar's.
    #[error(
        "container {container}: port {port} is the sidecar's ({field} of the BedrockAccess): move one of the two"
    )]
    PortTaken {
        container: String,
        port: u16,
        field: &'static str,
    },
    /// The app could look into the sidecar.
    #[error(
        "container {container}: runs as user {user}, which is the sidecar's, and shareProcessNamespace would let it read the sidecar's token: choose another user"
    )]
    SameUser { container: String, user: i64 },
    /// The mesh's proxy would hold up the sidecar, which would hold up the proxy.
    #[error(
        "container {proxy}: the mesh redirects the pod's network before its proxy runs, and the sidecar needs AWS before ordinary containers start: have the proxy injected as a native sidecar (annotation {annotation}: \"true\" on the pod)"
    )]
    MeshTooLate {
        proxy: &'static str,
        annotation: &'static str,
    },
    /// The system gives no random bytes.
    #[error("unable to make a key for a pod on its node's network; try again")]
    NoRandomness,
    /// There is no image for it.
    #[error("spec.os.name: the sidecar runs on Linux only")]
    Windows,
}

impl Refused {
    /// A stable word for metrics and logs.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Nameless { .. } => "NoAccessNamed",
            Self::NoAccess { .. } => "AccessNotFound",
            Self::NoSidecars { .. } => "NoSidecars",
            Self::ServiceAccount { .. } => "ServiceAccountNotAllowed",
            Self::Unusable { .. } => "InvalidSpec",
            Self::NotAccepted { .. } => "NotAccepted",
            Self::Unknown { .. } => "Retrying",
            Self::Unparsable(_) => "InvalidPod",
            Self::ContainerTaken => "ContainerTaken",
            Self::VolumeTaken { .. } => "VolumeTaken",
            Self::PortTaken { .. } => "PortTaken",
            Self::SameUser { .. } => "SameUser",
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

    /// Whether another look at the access could come to another end.
    pub(crate) fn rests_on_the_access(&self) -> bool {
        matches!(
            self,
            Self::NoAccess { .. }
                | Self::NoSidecars { .. }
                | Self::ServiceAccount { .. }
                | Self::Unusable { .. }
                | Self::NotAccepted { .. }
                | Self::PortTaken { .. }
        )
    }
}

fn list(others: &[String]) -> String {
    if others.is_empty() {
        return String::new();
    }
    format!(" ({})", others.join(", "))
}
