//! The ServiceAccount of the gateway pods.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// ServiceAccount of the gateway pods.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("self.create || has(self.name)").message("name is required if create is false: set it to the name of an existing ServiceAccount"),
    validation = Rule::new("self.create || (!has(self.annotations) && !has(self.labels))").message("annotations and labels require create to be true: the operator does not change an existing ServiceAccount")
)]
#[serde(rename_all = "camelCase")]
pub struct ServiceAccountSpec {
    /// Name of the ServiceAccount. Default: the name of the BedrockAccess followed by -gateway.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$")
    )]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Create the ServiceAccount. If false, name must refer to an existing ServiceAccount, which the operator does not
    /// change.
    #[serde(default = "yes")]
    pub create: bool,
    /// Additional annotations of the ServiceAccount.
    #[schemars(extend("maxProperties" = 32))]
    #[x_kube(validation = Rule::new("self.all(key, !key.startsWith('eks.amazonaws.com/'))").message("must not contain eks.amazonaws.com/ annotations: the operator sets them from spec.identity"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
    /// Additional labels of the ServiceAccount.
    #[schemars(extend("maxProperties" = 32))]
    #[x_kube(validation = Rule::new("self.all(key, !key.startsWith('bedrockaccess.dev/') && !key.startsWith('app.kubernetes.io/'))").message("must not contain bedrockaccess.dev/ or app.kubernetes.io/ labels: the operator sets them"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
}

impl Default for ServiceAccountSpec {
    fn default() -> Self {
        Self {
            name: None,
            create: true,
            annotations: None,
            labels: None,
        }
    }
}

fn yes() -> bool {
    true
}
