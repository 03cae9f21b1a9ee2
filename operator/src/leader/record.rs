//! The content of a Lease and the next step of a candidate. Pure.

use std::time::Duration;

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
    jiff::Timestamp,
};
use kube::api::ObjectMeta;

/// A candidate.
pub(super) struct Record<'a> {
    pub(super) identity: &'a str,
    /// Lease duration that this candidate requests.
    pub(super) duration: Duration,
}

/// Next step of a candidate.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// Another candidate holds the Lease.
    Wait,
    /// The Lease does not exist yet.
    Create(Lease),
    /// Renew or take the Lease, if it still has the version that was read.
    Update(Lease),
}

/// The holder of the Lease; `None` after it was released.
pub(super) fn holder(lease: &Lease) -> Option<String> {
    let holder = lease.spec.as_ref()?.holder_identity.clone()?;
    (!holder.is_empty()).then_some(holder)
}

impl Record<'_> {
    /// Next step for a Lease that has not changed for `unchanged_for`.
    pub(super) fn next(
        &self,
        found: Option<&Lease>,
        name: &str,
        unchanged_for: Duration,
        now: Timestamp,
    ) -> Step {
        let Some(found) = found else {
            return Step::Create(Lease {
                metadata: ObjectMeta {
                    name: Some(name.to_owned()),
                    ..ObjectMeta::default()
                },
                spec: Some(self.spec(MicroTime(now), now, 0)),
            });
        };
        let before = found.spec.clone().unwrap_or_default();
        let transitions = before.lease_transitions.unwrap_or_default();
        let spec = match holder(found) {
            Some(holder) if holder == self.identity => {
                let since = before.acquire_time.unwrap_or(MicroTime(now));
                self.spec(since, now, transitions)
            }
            // The duration that the holder requested applies, not this candidate's.
            Some(_) if unchanged_for < requested_duration(&before) => return Step::Wait,
            _ => self.spec(MicroTime(now), now, transitions.saturating_add(1)),
        };
        Step::Update(Lease {
            metadata: found.metadata.clone(),
            spec: Some(spec),
        })
    }

    fn spec(&self, acquired: MicroTime, now: Timestamp, transitions: i32) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(self.identity.to_owned()),
            // Whole seconds, rounded up: other candidates must not take the Lease too early.
            lease_duration_seconds: Some(seconds(self.duration)),
            acquire_time: Some(acquired),
            renew_time: Some(MicroTime(now)),
            lease_transitions: Some(transitions),
            ..LeaseSpec::default()
        }
    }
}

/// The Lease without its holder; `None` if another candidate holds it.
pub(super) fn released(lease: &Lease, identity: &str, now: Timestamp) -> Option<Lease> {
    (holder(lease).as_deref() == Some(identity)).then(|| Lease {
        metadata: lease.metadata.clone(),
        spec: Some(LeaseSpec {
            holder_identity: Some(String::new()),
            lease_duration_seconds: Some(1),
            acquire_time: Some(MicroTime(now)),
            renew_time: Some(MicroTime(now)),
            lease_transitions: lease.spec.as_ref().and_then(|spec| spec.lease_transitions),
            ..LeaseSpec::default()
        }),
    })
}

fn requested_duration(spec: &LeaseSpec) -> Duration {
    let seconds = spec.lease_duration_seconds.unwrap_or_default();
    Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
}

fn seconds(duration: Duration) -> i32 {
    let more = u64::from(duration.subsec_nanos() > 0);
    i32::try_from(duration.as_secs().saturating_add(more)).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: Record<'static> = Record {
        identity: "me",
        duration: Duration::from_secs(15),
    };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn held(by: &str) -> Lease {
        Lease {
            metadata: ObjectMeta {
                name: Some("l".to_owned()),
                resource_version: Some("7".to_owned()),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(by.to_owned()),
                lease_duration_seconds: Some(20),
                acquire_time: Some(MicroTime(at(10))),
                renew_time: Some(MicroTime(at(20))),
                lease_transitions: Some(3),
                ..LeaseSpec::default()
            }),
        }
    }

    #[track_caller]
    fn update(step: Step) -> LeaseSpec {
        match step {
            Step::Update(lease) => {
                assert_eq!(lease.metadata.resource_version.as_deref(), Some("7"));
                lease.spec.unwrap()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn first_candidate_creates_the_lease() {
        let Step::Create(lease) = ME.next(None, "l", Duration::ZERO, at(30)) else {
            panic!("not created");
        };
        let spec = lease.spec.unwrap();
        assert_eq!(spec.holder_identity.as_deref(), Some("me"));
        assert_eq!(spec.lease_duration_seconds, Some(15));
        assert_eq!(spec.lease_transitions, Some(0));
    }

    #[test]
    fn renewal_keeps_the_acquire_time() {
        let spec = update(ME.next(Some(&held("me")), "l", Duration::from_secs(99), at(30)));
        assert_eq!(spec.acquire_time, Some(MicroTime(at(10))));
        assert_eq!(spec.renew_time, Some(MicroTime(at(30))));
        assert_eq!(spec.lease_transitions, Some(3));
    }

    #[test]
    fn candidate_waits_for_the_holders_duration_by_its_own_clock() {
        // The timestamps in the record come from another clock and are ignored.
        let far = at(1_000_000);
        for (seconds, waits) in [(0, true), (19, true), (20, false), (100, false)] {
            let step = ME.next(Some(&held("other")), "l", Duration::from_secs(seconds), far);
            assert_eq!(step == Step::Wait, waits, "{seconds}");
        }
        let spec = update(ME.next(Some(&held("other")), "l", Duration::from_secs(20), far));
        assert_eq!(spec.holder_identity.as_deref(), Some("me"));
        assert_eq!(spec.acquire_time, Some(MicroTime(far)));
        assert_eq!(spec.lease_transitions, Some(4));
    }

    #[test]
    fn released_lease_is_taken_immediately() {
        let free = released(&held("other"), "other", at(30)).unwrap();
        assert_eq!(holder(&free), None);
        let spec = update(ME.next(Some(&free), "l", Duration::ZERO, at(31)));
        assert_eq!(spec.lease_transitions, Some(4));
        assert_eq!(released(&held("other"), "me", at(30)), None);
    }

    #[test]
    fn lease_duration_is_rounded_up_to_whole_seconds() {
        assert_eq!(seconds(Duration::from_millis(1500)), 2);
        assert_eq!(seconds(Duration::from_secs(15)), 15);
    }
}
