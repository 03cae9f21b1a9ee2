//! What measures nothing: the compiler removes all of it.

use axum::Router;

use super::Step;

/// Connections of Bedrock calls.
pub(crate) type Io<S> = S;
pub(crate) use hyper_util::rt::TokioExecutor as Executor;

/// Does the work of a step.
#[inline]
pub(crate) fn step<T>(_step: Step, work: impl FnOnce() -> T) -> T {
    work()
}

/// Does work of a thread that has no tasks.
#[inline]
pub(crate) fn job<T>(_step: Step, work: impl FnOnce() -> T) -> T {
    work()
}

/// A future that is a step of its task.
#[inline]
pub(crate) fn part<F>(_step: Step, future: F) -> F {
    future
}

/// A task.
#[inline]
pub(crate) fn task<F>(_step: Step, future: F) -> F {
    future
}

/// A connection.
#[inline]
pub(crate) fn io<S>((_read, _write): (Step, Step), connection: S) -> Io<S> {
    connection
}

/// The routes of the admin port.
pub(crate) fn admin<S>(routes: Router<S>) -> Router<S> {
    routes
}
