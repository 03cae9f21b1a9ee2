//! Whether the operator's ServiceAccount has the permissions that the chart grants it.

use api::names;
use k8s_openapi::api::authorization::v1::{
    NonResourceAttributes, ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::{Api, api::PostParams};

use super::{
    installation::Installation,
    report::{Line, Section},
};
use crate::cluster::{Cluster, api_error, is_forbidden};

const READ: &[&str] = &["list", "watch"];
const OWN: &[&str] = &["get", "list", "watch", "create", "patch", "delete"];
/// API group, resources and verbs in the namespaces that the operator watches.
const RULES: &[(&str, &[&str], &[&str])] = &[
    (
        names::GROUP,
        &["bedrockaccesses"],
        &["get", "list", "watch"],
    ),
    (names::GROUP, &["bedrockaccesses/status"], &["patch"]),
    ("", &["configmaps", "serviceaccounts", "services"], OWN),
    ("apps", &["deployments"], OWN),
    ("networking.k8s.io", &["networkpolicies"], OWN),
    ("policy", &["poddisruptionbudgets"], OWN),
    ("autoscaling", &["horizontalpodautoscalers"], OWN),
    ("", &["pods"], READ),
    ("events.k8s.io", &["events"], &["create", "patch"]),
];
/// The same in the whole cluster.
const CLUSTER_RULES: &[(&str, &[&str], &[&str])] =
    &[(names::GROUP, &["bedrockaccesspolicies"], READ)];
/// The same, unless the operator watches selected namespaces, which it reads by name.
const NAMESPACES: &[(&str, &[&str], &[&str])] = &[("", &["namespaces"], READ)];
/// Paths that the operator reads.
const PATHS: [&str; 2] = ["/openid/v1/jwks", "/.well-known/openid-configuration"];

pub(super) async fn check(cluster: &Cluster, installation: &Installation) -> Section {
    let mut section = Section::new("permissions");
    let user = format!(
        "system:serviceaccount:{}:{}",
        installation.namespace,
        installation.service_account()
    );
    let reviews: Vec<SubjectAccessReviewSpec> = specs(&user, &installation.watched());
    let api = Api::<SubjectAccessReview>::all(cluster.client.clone());
    let calls = reviews.into_iter().map(|spec| {
        let review = SubjectAccessReview {
            spec,
            ..SubjectAccessReview::default()
        };
        let api = api.clone();
        async move { api.create(&PostParams::default(), &review).await }
    });
    let mut missing = Vec::new();
    for reviewed in futures::future::join_all(calls).await {
        match reviewed {
            Ok(review) if review.status.as_ref().is_some_and(|status| status.allowed) => {}
            Ok(review) => missing.push(name(&review.spec)),
            Err(error) => {
                let fix = if is_forbidden(&error) {
                    "use a user who can create SubjectAccessReviews"
                } else {
                    "try again"
                };
                section.add(Line::warning(
                    format!("not checked: {}", api_error(&error)),
                    fix,
                ));
                return section;
            }
        }
    }
    section.add(if missing.is_empty() {
        Line::ok(format!("{user} has the permissions of the operator"))
    } else {
        Line::error(
            format!("{user} cannot {}", missing.join(", ")),
            "restore the roles and bindings of the chart: `helm upgrade` with rbac.create",
        )
    });
    section
}

fn specs(user: &str, namespaces: &[String]) -> Vec<SubjectAccessReviewSpec> {
    let mut specs = Vec::new();
    let mut add = |rules: &[(&str, &[&str], &[&str])], namespace: Option<&String>| {
        for (group, resources, verbs) in rules {
            for resource in *resources {
                let (resource, subresource) = match resource.split_once('/') {
                    Some((resource, subresource)) => (resource, Some(subresource.to_owned())),
                    None => (*resource, None),
                };
                specs.extend(verbs.iter().map(|verb| SubjectAccessReviewSpec {
                    user: Some(user.to_owned()),
                    resource_attributes: Some(ResourceAttributes {
                        group: Some((*group).to_owned()),
                        resource: Some(resource.to_owned()),
                        subresource: subresource.clone(),
                        verb: Some((*verb).to_owned()),
                        namespace: namespace.cloned(),
                        ..ResourceAttributes::default()
                    }),
                    ..SubjectAccessReviewSpec::default()
                }));
            }
        }
    };
    add(CLUSTER_RULES, None);
    if namespaces.is_empty() {
        add(RULES, None);
        add(NAMESPACES, None);
    } else {
        for namespace in namespaces {
            add(RULES, Some(namespace));
        }
    }
    specs.extend(PATHS.map(|path| SubjectAccessReviewSpec {
        user: Some(user.to_owned()),
        non_resource_attributes: Some(NonResourceAttributes {
            path: Some(path.to_owned()),
            verb: Some("get".to_owned()),
        }),
        ..SubjectAccessReviewSpec::default()
    }));
    specs
}

/// The permission in a message, such as `patch bedrockaccesses/status in team-a`.
fn name(spec: &SubjectAccessReviewSpec) -> String {
    if let Some(path) = &spec.non_resource_attributes {
        return format!("get {}", path.path.as_deref().unwrap_or_default());
    }
    let of = spec.resource_attributes.clone().unwrap_or_default();
    let text = |part: Option<String>| part.unwrap_or_default();
    let subresource = of
        .subresource
        .map_or_else(String::new, |name| format!("/{name}"));
    let namespace = of.namespace.filter(|name| !name.is_empty());
    let namespace = namespace.map_or_else(String::new, |name| format!(" in {name}"));
    format!(
        "{} {}{subresource}{namespace}",
        text(of.verb),
        text(of.resource)
    )
}
