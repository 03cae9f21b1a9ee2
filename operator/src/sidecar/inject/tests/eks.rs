//! The EKS pod identity webhook, simulated by its documented rules, before and after this webhook.

use super::*;
use crate::access::build::sidecar::{Claim, Token};

/// How a ServiceAccount gets its role on EKS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// By the annotation `role-arn`.
    Irsa,
    /// By a Pod Identity association.
    PodIdentity,
}

const WAYS: [Way; 2] = [Way::Irsa, Way::PodIdentity];
const ROLE: &str = "arn:aws:iam::123456789012:role/OfTheApp";
const AGENT: &str = "http://169.254.170.23/v1/credentials";

impl Way {
    fn token(self) -> Token {
        match self {
            Self::Irsa => Token::IRSA,
            Self::PodIdentity => Token::POD_IDENTITY,
        }
    }

    /// Its two variables with their values.
    fn variables(self) -> [(&'static str, String); 2] {
        let token = self.token();
        match self {
            Self::Irsa => [
                (token.other_variable, ROLE.to_owned()),
                (token.file_variable, format!("{}/token", token.directory)),
            ],
            Self::PodIdentity => [
                (token.other_variable, AGENT.to_owned()),
                (
                    token.file_variable,
                    format!("{}/{}", token.directory, token.volume),
                ),
            ],
        }
    }
}

/// Simulates the webhook, either with a default region and regional STS endpoints or with neither. It skips the
/// containers in `skip-containers` and those that already have everything, adds missing variables and mounts to the
/// others, and adds the volume if no volume has its name.
fn eks(pod: &mut Pod, way: Way, regional: bool) {
    let skipped: Vec<String> = pod
        .annotation(names::SKIP_CONTAINERS_ANNOTATION)
        .unwrap_or_default()
        .split(',')
        .map(ToOwned::to_owned)
        .collect();
    let token = way.token();
    for container in pod.all_mut().filter(|one| !skipped.contains(&one.name)) {
        let set = |name: &str| container.variable(name).is_some();
        let defined = set(token.file_variable) || set(token.other_variable);
        let region = set("AWS_REGION") || set("AWS_DEFAULT_REGION");
        let sts = set("AWS_STS_REGIONAL_ENDPOINTS");
        if defined && region && sts {
            continue;
        }
        let env = container.env.get_or_insert_default();
        let mut add = |name: &str, value: &str| env.push(json!({"name": name, "value": value}));
        if regional && !sts {
            add("AWS_STS_REGIONAL_ENDPOINTS", "regional");
        }
        if regional && !region {
            add("AWS_DEFAULT_REGION", "eu-west-1");
            add("AWS_REGION", "eu-west-1");
        }
        if !defined {
            for (name, value) in way.variables() {
                add(name, &value);
            }
        }
        let mounts = container.volume_mounts.get_or_insert_default();
        if !mounts.iter().any(|mount| is_named(mount, token.volume)) {
            mounts.push(
                json!({"name": token.volume, "readOnly": true, "mountPath": token.directory}),
            );
        }
    }
    if way == Way::PodIdentity {
        let labels = &mut pod.metadata.labels;
        labels.insert(
            "eks.amazonaws.com/pod-identity".to_owned(),
            "enabled".to_owned(),
        );
    }
    let (audience, path) = match way {
        Way::Irsa => ("sts.amazonaws.com", "token"),
        Way::PodIdentity => ("pods.eks.amazonaws.com", token.volume),
    };
    let volumes = pod.spec.volumes.get_or_insert_default();
    if !volumes.iter().any(|volume| is_named(volume, token.volume)) {
        volumes.insert(
            0,
            json!({"name": token.volume, "projected": {"sources": [{"serviceAccountToken": {
                "audience": audience, "expirationSeconds": 86400, "path": path,
            }}]}}),
        );
    }
}

const ORDERS: [&str; 6] = [
    "us",
    "eks us",
    "us eks",
    "us eks us",
    "eks us eks",
    "eks us eks us",
];

/// The pod after these webhooks, and whether a warning was returned.
fn after(more: &str, order: &str, way: Way, regional: bool) -> (Pod, bool) {
    let mut pod = pod(SEVERAL);
    let mut warned = false;
    for webhook in order.split(' ') {
        if webhook == "us" {
            let warnings = inject(&mut pod, &sidecar_of(more), &|| Ok(KEY.to_owned())).unwrap();
            warned |= warnings.iter().any(|warning| warning.contains("role-arn"));
        } else {
            eks(&mut pod, way, regional);
        }
    }
    (pod, warned)
}

/// Every combination of webhook order, mechanism and settings of EKS.
fn every_case() -> impl Iterator<Item = (&'static str, Way, bool)> {
    ORDERS.into_iter().flat_map(|order| {
        WAYS.into_iter()
            .flat_map(move |way| [true, false].map(|regional| (order, way, regional)))
    })
}

fn count_named(list: Option<&Vec<Value>>, name: &str) -> usize {
    let list = list.into_iter().flatten();
    list.filter(|entry| is_named(entry, name)).count()
}

#[test]
fn only_the_sidecar_gets_a_token_whatever_the_order_of_the_webhooks() {
    for identity in [
        "identity: {irsa: {roleArn: 'arn:aws:iam::123456789012:role/BedrockRole'}}",
        "identity: {podIdentity: {}}",
    ] {
        let more = format!("{{{identity}, {SIDECAR}}}");
        let Claim::Token(own) = sidecar_of(&more).claim else {
            panic!("{identity} has a token");
        };
        for (order, way, regional) in every_case() {
            let case = format!("{identity}, {order}, {way:?}, {regional}");
            let (mut pod, warned) = after(&more, order, way, regional);
            assert_eq!(warned, order.starts_with("eks"), "{case}");
            // This webhook runs last if another webhook changed the pod after it.
            let again = inject(&mut pod, &sidecar_of(&more), &|| Ok(KEY.to_owned())).unwrap();
            assert_eq!(again, Vec::<String>::new(), "{case}");
            check(&pod, own, &case);
        }
    }
}

#[track_caller]
fn check(pod: &Pod, own: Token, case: &str) {
    let volumes = pod.spec.volumes.as_ref().unwrap();
    let tokens: Vec<&Value> = volumes
        .iter()
        .filter(|volume| volume.get("projected").is_some())
        .collect();
    assert_eq!(tokens.len(), 1, "{case}: {tokens:?}");
    assert!(is_named(tokens[0], own.volume), "{case}: {tokens:?}");
    let sidecars = pod.all().filter(|one| one.name == names::GATEWAY_NAME);
    assert_eq!(sidecars.count(), 1, "{case}");
    for container in pod.all() {
        let ours = container.name == names::GATEWAY_NAME;
        for token in Token::ALL {
            let wanted = usize::from(ours && token == own);
            let mounted = count_named(container.volume_mounts.as_ref(), token.volume);
            assert_eq!(mounted, wanted, "{case}: {container:?}");
            let files = count_named(container.env.as_ref(), token.file_variable);
            assert_eq!(files, wanted, "{case}: {container:?}");
            let others = count_named(container.env.as_ref(), token.other_variable);
            // The app's SDKs use the sidecar instead of EKS's agent.
            let queried = usize::from(!ours && token == Token::POD_IDENTITY);
            assert_eq!(others, wanted.max(queried), "{case}: {container:?}");
        }
        let uri = container.value("AWS_CONTAINER_CREDENTIALS_FULL_URI");
        assert_eq!(
            uri.is_some_and(|uri| uri == AGENT),
            ours && own == Token::POD_IDENTITY,
            "{case}"
        );
        let role = container.value("AWS_ROLE_ARN");
        assert!(
            role.is_none_or(|role| role.ends_with("/BedrockRole")),
            "{case}: {role:?}"
        );
    }
}

#[test]
fn with_keys_from_a_secret_only_the_app_keeps_its_role() {
    let more = format!("{{identity: {{secret: {{name: keys}}}}, {SIDECAR}}}");
    for (order, way, regional) in every_case().filter(|(order, ..)| order.contains("eks")) {
        let case = format!("{order}, {way:?}, {regional}");
        let (mut pod, warned) = after(&more, order, way, regional);
        inject(&mut pod, &sidecar_of(&more), &|| Ok(KEY.to_owned())).unwrap();
        assert!(!warned, "{case}");
        for container in pod.all() {
            // The pod itself makes EKS skip this container.
            let given = !["helper", names::GATEWAY_NAME].contains(&container.name.as_str());
            let mounted = count_named(container.volume_mounts.as_ref(), way.token().volume);
            assert_eq!(mounted, usize::from(given), "{case}: {container:?}");
            for (name, value) in way.variables() {
                let found = container.value(name) == Some(&value);
                assert_eq!(found, given, "{case}: {name} of {container:?}");
            }
        }
    }
}
