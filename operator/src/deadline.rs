//! A client that does not wait for ever: kube's own has no limit for an answer, since logs and watches
//! may take their time. An answer has begun when its head is there, so watches go on as long as they like.

use std::time::Duration;

use kube::Client;

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
#[error("the API server did not answer within {0:?}")]
struct NoAnswer(Duration);

/// The client, with a limit for the head of each answer. The retries that kube's client makes after 429
/// and 503 are within it.
pub(crate) fn limited(client: Client, deadline: Duration) -> Client {
    let namespace = client.default_namespace().to_owned();
    let service = tower::service_fn(move |request| {
        let client = client.clone();
        async move {
            tokio::time::timeout(deadline, client.send(request))
                .await
                .unwrap_or_else(|_| Err(kube::Error::Service(Box::new(NoAnswer(deadline)))))
        }
    });
    Client::new(service, namespace)
}

#[cfg(test)]
mod tests {
    use http::{Request, Response};
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::{Api, client::Body};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn request_without_an_answer_fails_after_the_deadline() {
        let silent = tower::service_fn(|_: Request<Body>| {
            futures::future::pending::<Result<Response<Body>, kube::Error>>()
        });
        let client = limited(Client::new(silent, "team-a"), Duration::from_secs(30));
        let begun = tokio::time::Instant::now();
        let error = Api::<ConfigMap>::default_namespaced(client)
            .get("any")
            .await
            .unwrap_err();
        assert!(error.to_string().contains("did not answer"), "{error}");
        assert_eq!(begun.elapsed(), Duration::from_secs(30));
    }
}
