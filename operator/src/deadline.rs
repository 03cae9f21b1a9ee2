//! A client with a request timeout: kube's client has none, since logs and watches may run for a long time. The
//! timeout covers the wait for the response head, so it does not affect running watches.

use std::time::Duration;

use kube::Client;

/// The request timed out.
#[derive(Debug, thiserror::Error)]
#[error("the API server did not respond within {0:?}")]
struct DeadlineExceeded(Duration);

/// The client, with a timeout for each response head. The timeout includes the retries that kube's client makes after
/// 429 and 503.
pub(crate) fn limited(client: Client, deadline: Duration) -> Client {
    let namespace = client.default_namespace().to_owned();
    let service = tower::service_fn(move |request| {
        let client = client.clone();
        async move {
            tokio::time::timeout(deadline, client.send(request))
                .await
                .unwrap_or_else(|_| Err(kube::Error::Service(Box::new(DeadlineExceeded(deadline)))))
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
    async fn request_without_a_response_fails_after_the_deadline() {
        let silent = tower::service_fn(|_: Request<Body>| {
            futures::future::pending::<Result<Response<Body>, kube::Error>>()
        });
        let client = limited(Client::new(silent, "team-a"), Duration::from_secs(30));
        let started = tokio::time::Instant::now();
        let error = Api::<ConfigMap>::default_namespaced(client)
            .get("any")
            .await
            .unwrap_err();
        assert!(error.to_string().contains("did not respond"), "{error}");
        assert_eq!(started.elapsed(), Duration::from_secs(30));
    }
}
