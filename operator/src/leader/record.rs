//! What a Lease says and what a candidate makes of it. Pure.

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
    /// For how long it asks to be waited for.
    pub(super) duration: Duration,
}

/// What a candidate has to do.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// Somebody else holds the Lease.
    Wait,
    /// There is none yet.
    Create(Lease),
    /// Renew it, or take it over the version that was read.
    Update(Lease),
}

/// Whoever holds the Lease; nobody after it was given back.
pub(super) fn holder(lease: &Lease) -> Option<String> {
    let holder = lease.spec.as_ref()?.holder_identity.clone()?;
    (!holder.is_empty()).then_some(holder)
}

impl Record<'_> {
    /// What to do about a Lease that has been seen unchanged for this long.
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
            // What the holder asked for counts, not what we would ask for.
            Some(_) if unchanged_for < asked_for(&before) => return Step::Wait,
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
            // Whole seconds, and a fraction of one counts as one: others must not come too early.
            lease_duration_seconds: Some(seconds(self.duration)),
            acquire_time: Some(acquired),
            renew_time: Some(MicroTime(now)),
            lease_transitions: Some(transitions),
            ..LeaseSpec::default()
        }
    }
}

/// The Lease without its holder; `None` where it is not this one's.
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

fn asked_for(spec: &LeaseSpec) -> Duration {
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
    fn first_candidate_makes_the_lease() {
        let Step::Create(lease) = ME.next(None, "l", Duration::ZERO, at(30)) else {
            panic!("not created");
        };
        let spec = lease.spec.unwrap();
        assert_eq!(spec.holder_identity.as_deref(), Some("me"));
        assert_eq!(spec.lease_duration_seconds, Some(15));
        assert_eq!(spec.lease_transitions, Some(0));
    }

    #[test]
    fn holder_renews_and_stays_since_when_it_was() {
        let spec = update(ME.next(Some(&held("me")), "l", Duration::from_secs(99), at(30)));
        assert_eq!(spec.acquire_time, Some(MicroTime(at(10))));
        assert_eq!(spec.renew_time, Some(MicroTime(at(30))));
        assert_eq!(spec.lease_transitions, Some(3));
    }

    #[test]
    fn other_waits_for_as_long_as_the_holder_asked_for_by_its_own_clock() {
        // The times in the record are of another clock and do not count.
        let far = at(1_000_000);
        for (seconds, waits) in [(0, true), (19, true), (20, false), (100, false)] {
            let step = ME.next(Some(&held("she")), "l", Duration::from_secs(seconds), far);
            assert_eq!(step == Step::Wait, waits, "{seconds}");
        }
        let spec = update(ME.next(Some(&held("she")), "l", Duration::from_secs(20), far));
        assert_eq!(spec.holder_identity.as_deref(), Some("me"));
        assert_eq!(spec.acquire_time, Some(MicroTime(far)));
        assert_eq!(spec.lease_transitions, Some(4));
    }

    #[test]
    fn lease_that_was_given_back_is_taken_at_once() {
        let free = released(&held("she"), "she", at(30)).unwrap();
        assert_eq!(holder(&free), None);
        let spec = update(ME.next(Some(&free), "l", Duration::ZERO, at(31)));
        assert_eq!(spec.lease_transitions, Some(4));
        assert_eq!(released(&held("she"), "me", at(30)), None);
    }

    #[test]
    fn fraction_of_a_second_counts_as_one() {
        assert_eq!(seconds(Duration::from_millis(1500)), 2);
        assert_eq!(seconds(Duration::from_secs(15)), 15);
    }
}
