//! The ServiceAccount a gateway runs as.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// The ServiceAccount the gateway runs as.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("self.create || has(self.name)").message("name is required when create is false: it is the existing ServiceAccount to use"),
    validation = Rule::new("self.create || (!has(self.annotations) && !has(self.labels))").message("annotations and labels can only be set when create is true: an existing ServiceAccount is never changed")
)]
#[serde(rename_all = "camelCase")]
pub struct ServiceAccountSpec {
    /// Name of the ServiceAccount; left out, it is the name of the access and -gateway.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$")
    )]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether the operator makes it. When false, an existing one is used and never changed.
    #[serde(default = "yes")]
    pub create: bool,
    /// Annotations of the ServiceAccount besides those that follow from identity.
    #[schemars(extend("maxProperties" = 32))]
    #[x_kube(validation = Rule::new("self.all(key, !key.startsWith('eks.amazonaws.com/'))").message("must not hold eks.amazonaws.com/ annotations: they follow from spec.identity"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
    /// Labels of the ServiceAccount besides the operator's own.
    #[schemars(extend("maxProperties" = 32))]
    #[x_kube(validation = Rule::new("self.all(key, !key.startsWith('bedrockaccess.dev/') && !key.startsWith('app.kubernetes.io/'))").message("must not hold bedrockaccess.dev/ or app.kubernetes.io/ labels: the operator sets them"))]
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
