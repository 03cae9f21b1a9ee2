//! Heap profile of this process, in the form that `go tool pprof` reads.
//!
//! Only where the allocator has sampled since the start, which is asked for by its own variable,
//! `_RJEM_MALLOC_CONF=prof:true`: sampling costs time, and what was allocated before it begins is missed.
//! A profile holds names of functions and numbers of bytes, never what stands in memory.

use axum::{
    Router,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};

/// Why there is no profile.
#[derive(Debug, thiserror::Error)]
enum HeapError {
    /// The allocator does not sample.
    #[error(
        "start the operator with _RJEM_MALLOC_CONF=prof:true (operator.heapProfile in the chart)"
    )]
    NotSampled,
    /// This system's allocator cannot.
    #[cfg(not(target_os = "linux"))]
    #[error("there are heap profiles on Linux alone")]
    Unsupported,
    /// The profile was not written; it goes through a temporary file.
    #[error("unable to write the profile: {0}; is TMPDIR writable?")]
    Unwritten(String),
}

/// Routes of the port for profiles.
pub(crate) fn routes() -> Router {
    Router::new().route("/debug/pprof/heap", get(serve))
}

async fn serve() -> Response {
    match profile().await {
        Ok(profile) => (
            [
                (header::CONTENT_TYPE, "application/octet-stream"),
                (
                    header::CONTENT_DISPOSITION,
                    "attachment; filename=\"heap.pb.gz\"",
                ),
            ],
            profile,
        )
            .into_response(),
        Err(error) => (error.status(), format!("{error}\n")).into_response(),
    }
}

#[cfg(target_os = "linux")]
async fn profile() -> Result<Vec<u8>, HeapError> {
    let control = jemalloc_pprof::PROF_CTL
        .as_ref()
        .ok_or(HeapError::NotSampled)?;
    // Writing, reading and naming the functions of a profile takes up to seconds.
    tokio::task::spawn_blocking(|| control.blocking_lock().dump_pprof())
        .await
        .map_err(|error| HeapError::Unwritten(error.to_string()))?
        .map_err(|error| HeapError::Unwritten(format!("{error:#}")))
}

#[cfg(not(target_os = "linux"))]
async fn profile() -> Result<Vec<u8>, HeapError> {
    Err(HeapError::Unsupported)
}

impl HeapError {
    fn status(&self) -> StatusCode {
        match self {
            Self::NotSampled => StatusCode::NOT_IMPLEMENTED,
            #[cfg(not(target_os = "linux"))]
            Self::Unsupported => StatusCode::NOT_IMPLEMENTED,
            Self::Unwritten(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn without_sampling_the_answer_says_how_to_turn_it_on() {
        let request = http::Request::get("/debug/pprof/heap")
            .body(Body::empty())
            .unwrap();
        let answer = routes().oneshot(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::NOT_IMPLEMENTED);
        let text = to_bytes(answer.into_body(), 1000).await.unwrap();
        let text = String::from_utf8(text.to_vec()).unwrap();
        assert!(text.contains("_RJEM_MALLOC_CONF=prof:true"), "{text}");
    }
}
