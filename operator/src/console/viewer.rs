//! Who reads the console, and what this user can see: a TokenReview for the token, and SubjectAccessReviews for permission to
//! list `BedrockAccess` objects
//! (<https://kubernetes.io/docs/reference/access-authn-authz/authentication/#webhook-token-authentication>).
//!
//! Results are kept for seconds by the hash of the token. Tokens are not kept and never logged.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use api::names;
use futures::{StreamExt, TryStreamExt, stream};
use http::{HeaderMap, header};
use k8s_openapi::api::{
    authentication::v1::{TokenReview, TokenReviewSpec},
    authorization::v1::{ResourceAttributes, SubjectAccessReview},
};
use kube::{Api, Client, api::PostParams};
use sha2::{Digest as _, Sha256};
use tokio::{sync::Semaphore, time::Instant};

use crate::{error_chain::error_chain, policy::author::Author};

/// Users whose permissions are kept.
const MAX_USERS: usize = 256;
/// Concurrent reviews of all users.
const AT_ONCE: usize = 16;
/// Concurrent reviews for one request.
const CONCURRENT_REVIEWS: usize = 8;

type TokenHash = [u8; 32];

/// Why a request has no user.
#[derive(Debug, thiserror::Error)]
pub(super) enum ViewerError {
    /// The request has no token.
    #[error("Sign in with a token for the Kubernetes API.")]
    NoToken,
    /// The API server does not accept the token.
    #[error(
        "The Kubernetes API does not accept the token. Use a token for the Kubernetes API, for example that of kubectl create token."
    )]
    Rejected,
    /// The token is no longer valid.
    #[error("The token has expired. Sign in with a new one.")]
    Expired,
    /// The API server cannot be asked.
    #[error("The API server cannot check the token: {reason}")]
    Unavailable { reason: String },
}

/// The user of a request.
#[derive(Clone, Debug)]
pub(super) struct Viewer {
    author: Arc<Author>,
    /// Whether this user can list the objects of all namespaces.
    all: bool,
    /// Namespaces that have been looked up, and whether this user can list their objects.
    namespaces: BTreeMap<String, bool>,
}

/// Identifies users.
pub(super) struct Viewers {
    client: Client,
    lifetime: Duration,
    known: Mutex<HashMap<TokenHash, (Viewer, Instant)>>,
    permits: Semaphore,
}

/// The bearer token of a request.
pub(super) fn token(headers: &HeaderMap) -> Result<&str, ViewerError> {
    let value = headers.get(header::AUTHORIZATION);
    let text = value.and_then(|value| value.to_str().ok());
    let token = text.and_then(|text| text.strip_prefix("Bearer "));
    token
        .map(str::trim)
        .filter(|token| !token.is_empty())
        .ok_or(ViewerError::NoToken)
}

impl Viewer {
    pub(super) fn username(&self) -> &str {
        &self.author.username
    }

    /// Whether this user can list the objects of all namespaces.
    pub(super) fn sees_all(&self) -> bool {
        self.all
    }

    /// Whether this user can list the objects of a namespace that was looked up.
    pub(super) fn can_see(&self, namespace: Option<&str>) -> bool {
        let found = namespace.and_then(|namespace| self.namespaces.get(namespace));
        self.all || found == Some(&true)
    }
}

impl Viewers {
    pub(super) fn new(client: Client, lifetime: Duration) -> Self {
        Self {
            client,
            lifetime,
            known: Mutex::default(),
            permits: Semaphore::new(AT_ONCE),
        }
    }

    /// The user of a token, and which of these namespaces this user can see.
    ///
    /// # Errors
    /// When the API server does not accept the token, or cannot be asked.
    pub(super) async fn identify(
        &self,
        token: &str,
        namespaces: BTreeSet<String>,
    ) -> Result<Viewer, ViewerError> {
        let hash = TokenHash::from(Sha256::digest(token));
        let (mut viewer, until) = match self.kept(&hash) {
            Some(kept) => kept,
            None => self.review(token).await?,
        };
        if !viewer.all {
            let author = &Arc::clone(&viewer.author);
            let reviews: Vec<_> = namespaces
                .into_iter()
                .filter(|namespace| !viewer.namespaces.contains_key(namespace))
                .map(|namespace| async move {
                    let allowed = self.can_list(author, Some(&namespace)).await?;
                    Ok::<_, ViewerError>((namespace, allowed))
                })
                .collect();
            let results: Vec<(String, bool)> = stream::iter(reviews)
                .buffer_unordered(CONCURRENT_REVIEWS)
                .try_collect()
                .await?;
            viewer.namespaces.extend(results);
        }
        self.keep(hash, viewer.clone(), until);
        Ok(viewer)
    }

    /// Reviews a token.
    async fn review(&self, token: &str) -> Result<(Viewer, Instant), ViewerError> {
        let review = TokenReview {
            spec: TokenReviewSpec {
                token: Some(token.to_owned()),
                ..TokenReviewSpec::default()
            },
            ..TokenReview::default()
        };
        let until = Instant::now() + self.lifetime;
        let review = {
            let _permit = self.permits.acquire().await;
            Api::<TokenReview>::all(self.client.clone())
                .create(&PostParams::default(), &review)
                .await
                .map_err(|error| unavailable(&error, "tokenreviews"))?
        };
        let status = review.status.unwrap_or_default();
        let user = status.user.unwrap_or_default();
        let username = user.username.unwrap_or_default();
        if status.authenticated != Some(true) || username.is_empty() {
            let error = status.error.unwrap_or_default();
            return Err(if error.contains("expired") {
                ViewerError::Expired
            } else {
                ViewerError::Rejected
            });
        }
        let author = Arc::new(Author {
            username,
            uid: user.uid,
            groups: user.groups.unwrap_or_default(),
            extra: user.extra.unwrap_or_default(),
        });
        let viewer = Viewer {
            all: self.can_list(&author, None).await?,
            author,
            namespaces: BTreeMap::new(),
        };
        Ok((viewer, until))
    }

    /// Whether a user can list the objects of a namespace, or of all.
    async fn can_list(
        &self,
        author: &Author,
        namespace: Option<&str>,
    ) -> Result<bool, ViewerError> {
        let review = author.review(ResourceAttributes {
            namespace: namespace.map(ToOwned::to_owned),
            verb: Some("list".to_owned()),
            group: Some(names::GROUP.to_owned()),
            resource: Some("bedrockaccesses".to_owned()),
            ..ResourceAttributes::default()
        });
        let _permit = self.permits.acquire().await;
        let review = Api::<SubjectAccessReview>::all(self.client.clone())
            .create(&PostParams::default(), &review)
            .await
            .map_err(|error| unavailable(&error, "subjectaccessreviews"))?;
        Ok(review.status.is_some_and(|status| status.allowed))
    }

    fn kept(&self, hash: &TokenHash) -> Option<(Viewer, Instant)> {
        let known = self.lock();
        let (viewer, until) = known.get(hash)?;
        (*until > Instant::now()).then(|| (viewer.clone(), *until))
    }

    fn keep(&self, hash: TokenHash, viewer: Viewer, until: Instant) {
        let mut known = self.lock();
        if known.len() >= MAX_USERS {
            let now = Instant::now();
            known.retain(|_, (_, until)| *until > now);
        }
        if known.len() < MAX_USERS || known.contains_key(&hash) {
            known.insert(hash, (viewer, until));
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TokenHash, (Viewer, Instant)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unavailable(error: &kube::Error, resource: &str) -> ViewerError {
    let reason = match error {
        kube::Error::Api(status) if status.code == 403 => format!(
            "the operator lacks permission to create {resource}. Fix: set console.enabled in the values of the chart, which grants it"
        ),
        other => error_chain(other),
    };
    ViewerError::Unavailable { reason }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use http::{HeaderValue, Request, Response};
    use http_body_util::BodyExt as _;
    use kube::client::Body;
    use serde_json::{Value, json};

    use super::*;

    const LIFETIME: Duration = Duration::from_secs(30);

    /// An API server where the token `good` belongs to a user who can list objects in `team-a` only.
    fn viewers() -> (Viewers, Arc<AtomicUsize>) {
        let reviews = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&reviews);
        let service = tower::service_fn(move |request: Request<Body>| {
            count.fetch_add(1, Ordering::Relaxed);
            async move {
                let path = request.uri().path().to_owned();
                let body = request.into_body().collect().await.unwrap().to_bytes();
                let mut review: Value = serde_json::from_slice(&body).unwrap();
                review["status"] = if path.ends_with("/tokenreviews") {
                    match review["spec"]["token"].as_str() {
                        Some("good") => json!({"authenticated": true, "user": {
                            "username": "developer", "groups": ["dev"], "extra": {"scopes": ["a"]},
                        }}),
                        Some("old") => json!({"error": "[invalid bearer token, token is expired]"}),
                        _ => json!({"authenticated": false}),
                    }
                } else {
                    assert_eq!(review["spec"]["user"], "developer");
                    assert_eq!(review["spec"]["groups"], json!(["dev"]));
                    assert_eq!(review["spec"]["extra"], json!({"scopes": ["a"]}));
                    let attributes = &review["spec"]["resourceAttributes"];
                    assert_eq!(attributes["verb"], "list");
                    json!({"allowed": attributes["namespace"] == "team-a"})
                };
                Ok::<_, std::convert::Infallible>(Response::new(Body::from(
                    review.to_string().into_bytes(),
                )))
            }
        });
        let client = Client::new(service, "default");
        (Viewers::new(client, LIFETIME), reviews)
    }

    fn namespaces(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn user_sees_the_namespaces_that_the_api_server_allows() {
        let (viewers, reviews) = viewers();
        let wanted = || namespaces(&["team-a", "team-b"]);
        let viewer = viewers.identify("good", wanted()).await.unwrap();
        assert_eq!(viewer.username(), "developer");
        assert!(!viewer.sees_all());
        assert!(viewer.can_see(Some("team-a")));
        assert!(!viewer.can_see(Some("team-b")));
        assert!(!viewer.can_see(Some("never-looked-up")));
        assert!(!viewer.can_see(None));
        assert_eq!(reviews.load(Ordering::Relaxed), 4);
        // Kept, except for a namespace that is new.
        viewers.identify("good", wanted()).await.unwrap();
        assert_eq!(reviews.load(Ordering::Relaxed), 4);
        viewers
            .identify("good", namespaces(&["team-c"]))
            .await
            .unwrap();
        assert_eq!(reviews.load(Ordering::Relaxed), 5);
        tokio::time::advance(LIFETIME).await;
        viewers.identify("good", wanted()).await.unwrap();
        assert_eq!(reviews.load(Ordering::Relaxed), 9);
    }

    #[tokio::test]
    async fn rejected_token_gives_no_user_and_is_not_part_of_the_message() {
        let (viewers, _) = viewers();
        for (token, part) in [("old", "expired"), ("sk-secret", "does not accept")] {
            let error = viewers.identify(token, BTreeSet::new()).await.unwrap_err();
            let text = error.to_string();
            assert!(text.contains(part) && !text.contains("sk-secret"), "{text}");
        }
    }

    #[tokio::test]
    async fn missing_permission_of_the_operator_names_the_value_of_the_chart() {
        let service = tower::service_fn(|_: Request<Body>| async {
            let status = json!({
                "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden",
                "message": "forbidden", "code": 403,
            });
            let response = Response::builder().status(403);
            Ok::<_, std::convert::Infallible>(
                response
                    .body(Body::from(status.to_string().into_bytes()))
                    .unwrap(),
            )
        });
        let viewers = Viewers::new(Client::new(service, "default"), LIFETIME);
        let error = viewers.identify("good", BTreeSet::new()).await.unwrap_err();
        assert!(error.to_string().contains("console.enabled"), "{error}");
    }

    #[test]
    fn token_is_read_from_the_authorization_header_only() {
        let mut headers = HeaderMap::new();
        for (value, expected) in [
            ("Bearer abc", Some("abc")),
            ("Bearer ", None),
            ("Basic abc", None),
            ("abc", None),
        ] {
            headers.insert(header::AUTHORIZATION, HeaderValue::from_static(value));
            assert_eq!(token(&headers).ok(), expected, "{value}");
        }
        assert!(token(&HeaderMap::new()).is_err());
    }
}
