//! Fixtures of the tests: `BedrockAccess` objects in YAML, caches to fill, and a scripted API server that records its
//! requests.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    sync::{Arc, Mutex},
};

use api::{names, v1alpha1::BedrockAccess};
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use k8s_openapi::api::core::v1::Pod;
use kube::{Client, api::DynamicObject, client::Body};
use kube_runtime::{reflector, watcher::Event};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::{
    access::{
        observe::Observed,
        validate::{Validated, validate},
    },
    cache::Writer,
    cluster_keys::ClusterKeys,
    owned::{OwnedKind, OwnedObject, Stores},
    policy::{GuardedPolicy, NamespaceMetadata, Policies},
    settings::Settings,
};

/// The `BedrockAccess` of the documentation, with additional fields in its spec.
pub(crate) fn access(more: &str) -> BedrockAccess {
    let mut object: Value = serde_yaml::from_str(
        r#"
apiVersion: bedrockaccess.dev/v1alpha1
kind: BedrockAccess
metadata: { name: chat, namespace: team-a, uid: 11111111-2222-3333-4444-555555555555, generation: 3, resourceVersion: "70" }
spec:
  region: us-east-1
  identity: { irsa: { roleArn: "arn:aws:iam::123456789012:role/BedrockRole" } }
  models: [ { name: fast, modelId: "us.amazon.nova-2-lite-v1:0" } ]
  clients: { serviceAccounts: [ { name: app } ] }
"#,
    )
    .unwrap();
    let more: Value = serde_yaml::from_str(more).unwrap();
    for (name, value) in more.as_object().into_iter().flatten() {
        object["spec"][name] = value.clone();
    }
    serde_json::from_value(object).unwrap()
}

pub(crate) fn settings() -> Settings {
    Settings {
        gateway_image: "registry.example/bedrock-gateway:1".to_owned(),
        share_public_key: "00".repeat(32),
        ..Settings::default()
    }
}

pub(crate) fn keys() -> Arc<ClusterKeys> {
    Arc::new(ClusterKeys {
        issuer: "https://kubernetes.default.svc".to_owned(),
        jwks: json!({"keys": [{"kid": "one", "kty": "RSA", "n": "AQAB", "e": "AQAB"}]}),
    })
}

pub(crate) fn observed() -> Observed {
    Observed {
        cluster_keys: Some(keys()),
        served: OwnedKind::ALL
            .into_iter()
            .filter(|kind| kind.is_optional())
            .collect(),
        ..Observed::default()
    }
}

pub(crate) fn validated(more: &str) -> Validated {
    validate(&access(more), &observed(), &settings()).unwrap()
}

/// Caches with the writers that fill them.
pub(crate) struct Caches {
    pub(crate) stores: Stores,
    pub(crate) served: watch::Sender<BTreeSet<OwnedKind>>,
    owned: BTreeMap<OwnedKind, Writer<OwnedObject>>,
    pods: Writer<Pod>,
    _sidecars: Writer<Pod>,
}

/// Policies and namespaces with the writers that fill them; `team-a` exists.
pub(crate) struct PolicyCaches {
    pub(crate) policies: Policies,
    written: reflector::store::Writer<GuardedPolicy>,
    namespaces: reflector::store::Writer<NamespaceMetadata>,
}

impl Caches {
    pub(crate) fn new() -> Self {
        let mut pods = Writer::new((), names::ACCESS_LABEL);
        ready(&mut pods);
        let mut sidecars = Writer::new((), names::INJECT_LABEL);
        ready(&mut sidecars);
        let mut owned = BTreeMap::new();
        for kind in OwnedKind::ALL {
            let mut writer = Writer::new(kind.resource(), names::ACCESS_LABEL);
            ready(&mut writer);
            owned.insert(kind, writer);
        }
        let readers = owned.iter().map(|(kind, writer)| (*kind, writer.reader()));
        let (served, kinds) = watch::channel(BTreeSet::new());
        Self {
            stores: Stores::new(readers.collect(), pods.reader(), sidecars.reader(), kinds),
            served,
            owned,
            pods,
            _sidecars: sidecars,
        }
    }

    pub(crate) fn put(&mut self, kind: OwnedKind, object: Value) {
        let object: DynamicObject = serde_json::from_value(object).unwrap();
        let writer = self.owned.get_mut(&kind).unwrap();
        writer.apply(&Event::Apply(OwnedObject::pack(&object)));
    }

    pub(crate) fn forget(&mut self, kind: OwnedKind, name: &str) {
        let object = json!({"metadata": {"name": name, "namespace": "team-a"}});
        let object: DynamicObject = serde_json::from_value(object).unwrap();
        let writer = self.owned.get_mut(&kind).unwrap();
        writer.apply(&Event::Delete(OwnedObject::pack(&object)));
    }

    pub(crate) fn put_pod(&mut self, pod: Value) {
        let pod = serde_json::from_value(pod).unwrap();
        self.pods.apply(&Event::Apply(pod));
    }
}

impl PolicyCaches {
    /// With a webhook that verifies authors, as the chart installs it.
    pub(crate) fn new(required: bool) -> Self {
        Self::with(required, true)
    }

    /// Without a webhook that verifies authors.
    pub(crate) fn without_webhook() -> Self {
        Self::with(false, false)
    }

    fn with(required: bool, authors_verified: bool) -> Self {
        let (policies, mut written) = reflector::store();
        listed(&mut written);
        let (namespaces, mut namespace_writer) = reflector::store();
        listed(&mut namespace_writer);
        let mut this = Self {
            policies: Policies::new(policies, namespaces, required, authors_verified),
            written,
            namespaces: namespace_writer,
        };
        this.label(&json!({}));
        this
    }

    /// Labels `team-a`.
    pub(crate) fn label(&mut self, labels: &Value) {
        let namespace = json!({"metadata": {"name": "team-a", "labels": labels}});
        let namespace = serde_json::from_value(namespace).unwrap();
        self.namespaces
            .apply_watcher_event(&Event::Apply(namespace));
    }

    pub(crate) fn put(&mut self, name: &str, spec: &str) {
        self.written
            .apply_watcher_event(&Event::Apply(policy(name, spec)));
    }

    pub(crate) fn remove(&mut self, name: &str) {
        let gone = policy(name, "{namespaces: {names: [x]}}");
        self.written.apply_watcher_event(&Event::Delete(gone));
    }
}

fn listed<K>(writer: &mut reflector::store::Writer<K>)
where
    K: reflector::Lookup + Clone + 'static,
    K::DynamicType: Eq + std::hash::Hash + Clone,
{
    writer.apply_watcher_event(&Event::Init);
    writer.apply_watcher_event(&Event::InitDone);
}

fn policy(name: &str, spec: &str) -> GuardedPolicy {
    let spec: Value = serde_yaml::from_str(spec).unwrap();
    serde_json::from_value(json!({
        "apiVersion": "bedrockaccess.dev/v1alpha1", "kind": "BedrockAccessPolicy",
        "metadata": {"name": name}, "spec": spec,
    }))
    .unwrap()
}

fn ready<K>(writer: &mut Writer<K>)
where
    K: kube::Resource + Clone + 'static,
    K::DynamicType: Eq + std::hash::Hash + Clone,
{
    writer.apply(&Event::Init);
    writer.apply(&Event::InitDone);
}

/// Path of reviews of permissions.
pub(crate) const REVIEWS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";

/// A request to the scripted API server.
#[derive(Clone, Debug)]
pub(crate) struct RecordedRequest {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) body: Value,
}

/// An API server with objects in memory. It stores server-side applies unchanged, and a test can make requests to a
/// path fail.
#[derive(Clone, Default)]
pub(crate) struct Scripted(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    requests: Vec<RecordedRequest>,
    objects: BTreeMap<String, Value>,
    failures: BTreeMap<String, (StatusCode, Value)>,
    writes: u64,
    permissions: BTreeSet<String>,
}

impl Scripted {
    pub(crate) fn client(&self) -> Client {
        let this = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let this = this.clone();
            async move { Ok::<_, Infallible>(this.respond(request).await) }
        });
        Client::new(service, "default")
    }

    pub(crate) fn put(&self, path: &str, object: Value) {
        self.0
            .lock()
            .unwrap()
            .objects
            .insert(path.to_owned(), object);
    }

    pub(crate) fn object(&self, path: &str) -> Option<Value> {
        self.0.lock().unwrap().objects.get(path).cloned()
    }

    pub(crate) fn remove(&self, path: &str) {
        self.0.lock().unwrap().objects.remove(path);
    }

    /// Makes requests to this path fail, except reads.
    pub(crate) fn fail(&self, path: &str, status: StatusCode, message: &str) {
        let body = json!({
            "kind": "Status", "apiVersion": "v1", "status": "Failure",
            "code": status.as_u16(), "message": message, "reason": "Scripted",
        });
        self.0
            .lock()
            .unwrap()
            .failures
            .insert(path.to_owned(), (status, body));
    }

    /// Grants a user a permission, as `jane create deployments` or `jane get secrets/keys`.
    pub(crate) fn grant(&self, permission: &str) {
        let mut state = self.0.lock().unwrap();
        state.permissions.insert(permission.to_owned());
    }

    pub(crate) fn heal(&self) {
        self.0.lock().unwrap().failures.clear();
    }

    /// The requests since the last call.
    pub(crate) fn requests(&self) -> Vec<RecordedRequest> {
        std::mem::take(&mut self.0.lock().unwrap().requests)
    }

    /// The writes since the last call, as `METHOD path`, without Events.
    pub(crate) fn writes(&self) -> Vec<String> {
        self.requests()
            .iter()
            .filter(|request| {
                request.method != Method::GET && !request.path.contains("events.k8s.io")
            })
            .map(|request| format!("{} {}", request.method, request.path))
            .collect()
    }

    async fn respond(&self, request: Request<Body>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let path = head.uri.path().to_owned();
        let mut state = self.0.lock().unwrap();
        state.requests.push(RecordedRequest {
            method: head.method.clone(),
            path: path.clone(),
            query: head.uri.query().unwrap_or_default().to_owned(),
            body: body.clone(),
        });
        let (status, response) = state.handle(&head.method, &path, body);
        Response::builder()
            .status(status)
            .header("content-type", "application/json")
            .body(Body::from(response.to_string().into_bytes()))
            .unwrap()
    }
}

impl State {
    /// Like etcd: the first write creates revision 2.
    fn next_version(&mut self) -> String {
        self.writes += 1;
        (self.writes + 1).to_string()
    }

    fn handle(&mut self, method: &Method, path: &str, mut body: Value) -> (StatusCode, Value) {
        if *method != Method::GET
            && let Some((status, failure)) = self.failures.get(path)
        {
            return (*status, failure.clone());
        }
        let missing = json!({
            "kind": "Status", "apiVersion": "v1", "status": "Failure",
            "code": 404, "message": "not found", "reason": "NotFound",
        });
        match *method {
            Method::GET => match self.objects.get(path) {
                Some(object) => (StatusCode::OK, object.clone()),
                None => (StatusCode::NOT_FOUND, missing),
            },
            Method::PATCH if path.ends_with("/status") => (StatusCode::OK, body),
            Method::PATCH => {
                // A version that no object has: the apply must create the object.
                if body["metadata"]["resourceVersion"] == "1" && self.objects.contains_key(path) {
                    return (StatusCode::CONFLICT, conflict());
                }
                let fields = managed(&body);
                body["metadata"]["resourceVersion"] = json!(self.next_version());
                body["metadata"]["managedFields"] = json!([{
                    "manager": "bedrock-access-operator", "operation": "Apply",
                    "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": fields,
                }]);
                self.objects.insert(path.to_owned(), body.clone());
                (StatusCode::OK, body)
            }
            Method::PUT => {
                body["metadata"]["resourceVersion"] = json!(self.next_version());
                self.objects.insert(path.to_owned(), body.clone());
                (StatusCode::OK, body)
            }
            Method::DELETE => match self.objects.remove(path) {
                Some(object) => (StatusCode::OK, object),
                None => (StatusCode::NOT_FOUND, missing),
            },
            Method::POST if path == REVIEWS => {
                let attributes = &body["spec"]["resourceAttributes"];
                assert_eq!(attributes["namespace"], "team-a");
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                let mut resource = text(&attributes["resource"]);
                if let Some(name) = attributes["name"].as_str() {
                    resource.push('/');
                    resource.push_str(name);
                }
                let (user, verb) = (text(&body["spec"]["user"]), text(&attributes["verb"]));
                let allowed = self
                    .permissions
                    .contains(&format!("{user} {verb} {resource}"));
                body["status"] = json!({"allowed": allowed});
                (StatusCode::CREATED, body)
            }
            Method::POST if path.ends_with("/secrets") => {
                body["metadata"]["resourceVersion"] = json!(self.next_version());
                let name = body["metadata"]["name"].as_str().unwrap_or_default();
                self.objects.insert(format!("{path}/{name}"), body.clone());
                (StatusCode::CREATED, body)
            }
            _ => (StatusCode::CREATED, body),
        }
    }
}

fn conflict() -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure",
        "code": 409, "message": "the object has been modified", "reason": "Conflict",
    })
}

/// Managed fields as the API server writes them, for lists with the keys of our owned objects.
pub(crate) fn managed(document: &Value) -> Value {
    let mut fields = owned_fields(document);
    if let Some(fields) = fields.as_object_mut() {
        fields.remove("f:apiVersion");
        fields.remove("f:kind");
        if let Some(metadata) = fields.get_mut("f:metadata").and_then(Value::as_object_mut) {
            metadata.remove("f:name");
            metadata.remove("f:namespace");
            metadata.remove("f:resourceVersion");
        }
    }
    fields
}

fn owned_fields(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (format!("f:{name}"), owned_fields(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Value::Array(items) => items
            .iter()
            .filter_map(|item| Some((format!("k:{}", element_key(item)?), owned_fields(item))))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        _ => json!({}),
    }
}

fn element_key(item: &Value) -> Option<Value> {
    let pick = |names: &[&str]| -> Option<Value> {
        names
            .iter()
            .map(|name| Some(((*name).to_owned(), item.get(*name)?.clone())))
            .collect::<Option<serde_json::Map<_, _>>>()
            .map(Value::Object)
    };
    if item.get("blockOwnerDeletion").is_some() || item.get("controller").is_some() {
        return pick(&["uid"]);
    }
    pick(&["containerPort", "protocol"])
        .or_else(|| pick(&["port", "protocol"]))
        .or_else(|| pick(&["mountPath"]))
        .or_else(|| pick(&["topologyKey", "whenUnsatisfiable"]))
        .or_else(|| {
            item.get("serviceAccountToken")
                .is_none()
                .then(|| pick(&["name"]))?
        })
}
