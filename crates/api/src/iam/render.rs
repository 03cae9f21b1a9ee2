//! IAM roles and policies in the formats of several tools.
//!
//! JSON for the console and the AWS CLI, HCL for Terraform's `aws` provider, a CloudFormation
//! template, and manifests for the ACK controllers of IAM and EKS
//! (<https://aws-controllers-k8s.github.io/docs/>).

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::{Value, json};

use super::document::Document;

/// Output format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// JSON policy documents.
    Json,
    /// HCL for Terraform.
    Terraform,
    /// A CloudFormation template in YAML.
    CloudFormation,
    /// Kubernetes manifests for the ACK controllers.
    Ack,
}

/// A role to render: its name, and one or both of its policies.
#[derive(Clone, Debug)]
pub struct RoleDraft<'a> {
    /// Name of the role in IAM.
    pub name: &'a str,
    /// Trust policy.
    pub trust: Option<&'a Document>,
    /// Permission policy.
    pub permission: Option<&'a Document>,
    /// EKS Pod Identity association. Ignored by formats that do not support one.
    pub pod_identity: Option<PodIdentityAssociation<'a>>,
}

/// An EKS Pod Identity association.
#[derive(Clone, Copy, Debug)]
pub struct PodIdentityAssociation<'a> {
    /// Name of the EKS cluster.
    pub cluster: &'a str,
    /// Namespace of the ServiceAccount.
    pub namespace: &'a str,
    /// Name of the ServiceAccount.
    pub service_account: &'a str,
}

/// A role cannot be rendered.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// Both policies are missing.
    #[error("no policy: pass a permission policy, a trust policy or both")]
    Empty,
    /// IAM does not allow the name.
    #[error("{0:?} is not a valid name of an IAM role: use 1 to 64 letters, digits and +=,.@_-")]
    Name(String),
    /// A value cannot be written as YAML.
    #[error("failed to write YAML")]
    Yaml(#[from] serde_yaml::Error),
}

/// Renders a role in a format.
///
/// # Errors
/// No policy is present, or IAM does not allow the name.
pub fn render(role: &RoleDraft<'_>, format: Format) -> Result<String, RenderError> {
    let length = role.name.len();
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"+=,.@_-".contains(&byte);
    if length == 0 || length > 64 || !role.name.bytes().all(known) {
        return Err(RenderError::Name(role.name.to_owned()));
    }
    if role.trust.is_none() && role.permission.is_none() {
        return Err(RenderError::Empty);
    }
    match format {
        Format::Json => Ok(json_text(role)),
        Format::Terraform => Ok(terraform(role)),
        Format::CloudFormation => cloudformation(role),
        Format::Ack => ack(role),
    }
}

fn json_text(role: &RoleDraft<'_>) -> String {
    match (role.trust, role.permission) {
        (Some(one), None) | (None, Some(one)) => one.to_json(),
        (trust, permission) => {
            let both = json!({"TrustPolicy": trust, "PermissionPolicy": permission});
            format!("{both:#}\n")
        }
    }
}

fn terraform(role: &RoleDraft<'_>) -> String {
    let label = identifier(role.name, '_').to_lowercase();
    let mut text = String::new();
    let mut block = |kind: &str, attributes: &[(&str, String)]| {
        if !text.is_empty() {
            text.push('\n');
        }
        let width = attributes.iter().map(|(name, _)| name.len()).max();
        let width = width.unwrap_or_default();
        let _ = writeln!(text, "resource \"{kind}\" \"{label}\" {{");
        for (name, value) in attributes {
            let _ = writeln!(text, "  {name:width$} = {value}");
        }
        text.push_str("}\n");
    };
    let encoded = |document: &Document| {
        let value = serde_json::to_value(document).unwrap_or_default();
        format!("jsonencode({})", hcl(&value, 1))
    };
    let name = || ("name", hcl_string(role.name));
    match (role.trust, role.permission) {
        (Some(trust), permission) => {
            block(
                "aws_iam_role",
                &[name(), ("assume_role_policy", encoded(trust))],
            );
            if let Some(permission) = permission {
                block(
                    "aws_iam_role_policy",
                    &[
                        ("name", hcl_string("bedrock")),
                        ("role", format!("aws_iam_role.{label}.id")),
                        ("policy", encoded(permission)),
                    ],
                );
            }
            if let Some(pod) = role.pod_identity {
                block(
                    "aws_eks_pod_identity_association",
                    &[
                        ("cluster_name", hcl_string(pod.cluster)),
                        ("namespace", hcl_string(pod.namespace)),
                        ("service_account", hcl_string(pod.service_account)),
                        ("role_arn", format!("aws_iam_role.{label}.arn")),
                    ],
                );
            }
        }
        (None, Some(permission)) => {
            block("aws_iam_policy", &[name(), ("policy", encoded(permission))]);
        }
        (None, None) => {}
    }
    text
}

/// A JSON value as an HCL expression.
fn hcl(value: &Value, depth: usize) -> String {
    let outer = "  ".repeat(depth);
    let inner = "  ".repeat(depth.saturating_add(1));
    match value {
        Value::Array(items) => {
            let items: Vec<String> = items
                .iter()
                .map(|item| format!("{inner}{},\n", hcl(item, depth.saturating_add(1))))
                .collect();
            format!("[\n{}{outer}]", items.concat())
        }
        Value::Object(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|(name, value)| {
                    let value = hcl(value, depth.saturating_add(1));
                    format!("{inner}{} = {value}\n", hcl_key(name))
                })
                .collect();
            format!("{{\n{}{outer}}}", fields.concat())
        }
        Value::String(text) => hcl_string(text),
        other => other.to_string(),
    }
}

fn hcl_key(name: &str) -> String {
    if name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        name.to_owned()
    } else {
        hcl_string(name)
    }
}

/// A quoted text with escaped HCL templates, so that `${aws:…}` of IAM remains unchanged.
fn hcl_string(text: &str) -> String {
    let quoted = Value::String(text.to_owned()).to_string();
    quoted.replace("${", "$${").replace("%{", "%%{")
}

fn cloudformation(role: &RoleDraft<'_>) -> Result<String, RenderError> {
    let id = identifier(role.name, '\0');
    let mut resources = serde_json::Map::new();
    let mut outputs = serde_json::Map::new();
    if let Some(trust) = role.trust {
        let mut properties = json!({"RoleName": role.name, "AssumeRolePolicyDocument": trust});
        if let (Some(permission), Value::Object(fields)) = (role.permission, &mut properties) {
            let policy = json!([{"PolicyName": "bedrock", "PolicyDocument": permission}]);
            fields.insert("Policies".to_owned(), policy);
        }
        resources.insert(
            id.clone(),
            json!({"Type": "AWS::IAM::Role", "Properties": properties}),
        );
        if let Some(pod) = role.pod_identity {
            resources.insert(
                format!("{id}PodIdentityAssociation"),
                json!({"Type": "AWS::EKS::PodIdentityAssociation", "Properties": {
                    "ClusterName": pod.cluster,
                    "Namespace": pod.namespace,
                    "ServiceAccount": pod.service_account,
                    "RoleArn": {"Fn::GetAtt": [id, "Arn"]},
                }}),
            );
        }
        outputs.insert(
            "RoleArn".to_owned(),
            json!({"Value": {"Fn::GetAtt": [id, "Arn"]}}),
        );
    } else if let Some(permission) = role.permission {
        resources.insert(
            id.clone(),
            json!({"Type": "AWS::IAM::ManagedPolicy", "Properties": {
                "ManagedPolicyName": role.name,
                "PolicyDocument": permission,
            }}),
        );
        outputs.insert("PolicyArn".to_owned(), json!({"Value": {"Ref": id}}));
    }
    yaml(&json!({
        "AWSTemplateFormatVersion": "2010-09-09",
        "Resources": resources,
        "Outputs": outputs,
    }))
}

fn ack(role: &RoleDraft<'_>) -> Result<String, RenderError> {
    let name = identifier(role.name, '-').to_lowercase();
    let mut manifests = Vec::new();
    if let Some(trust) = role.trust {
        let mut spec = json!({"name": role.name, "assumeRolePolicyDocument": trust.to_json()});
        if let (Some(permission), Value::Object(fields)) = (role.permission, &mut spec) {
            let policies = json!({"bedrock": permission.to_json()});
            fields.insert("inlinePolicies".to_owned(), policies);
        }
        manifests.push(json!({
            "apiVersion": "iam.services.k8s.aws/v1alpha1",
            "kind": "Role",
            "metadata": {"name": name},
            "spec": spec,
        }));
        if let Some(pod) = role.pod_identity {
            manifests.push(json!({
                "apiVersion": "eks.services.k8s.aws/v1alpha1",
                "kind": "PodIdentityAssociation",
                "metadata": {"name": name},
                "spec": {
                    "clusterName": pod.cluster,
                    "namespace": pod.namespace,
                    "serviceAccount": pod.service_account,
                    "roleRef": {"from": {"name": name}},
                },
            }));
        }
    } else if let Some(permission) = role.permission {
        manifests.push(json!({
            "apiVersion": "iam.services.k8s.aws/v1alpha1",
            "kind": "Policy",
            "metadata": {"name": name},
            "spec": {"name": role.name, "policyDocument": permission.to_json()},
        }));
    }
    let texts: Result<Vec<String>, RenderError> = manifests.iter().map(yaml).collect();
    Ok(texts?.join("---\n"))
}

fn yaml<T: Serialize>(value: &T) -> Result<String, RenderError> {
    let text = serde_yaml::to_string(value)?;
    // YAML 1.1 parsers read an unquoted date as a date, and IAM requires a string.
    let dates = [
        ("Version: 2012-10-17\n", "Version: '2012-10-17'\n"),
        ("Version: 2010-09-09\n", "Version: '2010-09-09'\n"),
    ];
    Ok(dates
        .iter()
        .fold(text, |text, (bare, quoted)| text.replace(bare, quoted)))
}

/// A name in which all characters except letters and digits are replaced, or removed for `\0`.
fn identifier(name: &str, replacement: char) -> String {
    let replaced = name.chars().map(|c| {
        if c.is_ascii_alphanumeric() {
            c
        } else {
            replacement
        }
    });
    let text: String = replaced.filter(|c| *c != '\0').collect();
    let text = text.trim_matches('-').to_owned();
    if text.is_empty() || text.starts_with(|c: char| c.is_ascii_digit()) {
        format!("role{text}")
    } else {
        text
    }
}
