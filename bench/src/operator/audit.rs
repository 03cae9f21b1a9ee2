//! Requests of an operator to the API server, from the audit log.

use std::{collections::BTreeMap, fmt::Write as _, path::Path};

use anyhow::Result;
use localcluster::AuditEvent;

use crate::report::float;

/// Requests by verb and resource, such as "patch deployments".
#[derive(Debug, Default)]
pub(super) struct Requests {
    counts: BTreeMap<String, u64>,
    writes: u64,
}

impl Requests {
    pub(super) fn read(log: &Path, user: &str) -> Result<Self> {
        let mut requests = Self::default();
        // The audit log reports a watch when it ends; that is no further request.
        let events = AuditEvent::read(log)?
            .into_iter()
            .filter(|event| event.user == user && event.verb != "watch");
        for event in events {
            requests.writes += u64::from(event.is_write());
            *requests
                .counts
                .entry(format!("{} {}", event.verb, event.resource))
                .or_default() += 1;
        }
        Ok(requests)
    }

    /// Requests after `before`.
    pub(super) fn since(mut self, before: &Self) -> Self {
        self.writes -= before.writes;
        for (kind, count) in &before.counts {
            if let Some(now) = self.counts.get_mut(kind) {
                *now -= count;
            }
        }
        self.counts.retain(|_, count| *count > 0);
        self
    }

    pub(super) fn count(&self) -> f64 {
        float(self.counts.values().sum())
    }

    pub(super) fn writes(&self) -> u64 {
        self.writes
    }

    /// Requests of each kind for each of `objects`, the most frequent first.
    pub(super) fn by_kind(&self, objects: usize) -> String {
        let mut counts: Vec<_> = self.counts.iter().collect();
        counts.sort_by_key(|(kind, count)| (std::cmp::Reverse(**count), *kind));
        let mut text = String::new();
        for (kind, count) in counts {
            let separator = if text.is_empty() { "" } else { ", " };
            // Writing to a String cannot fail.
            let _: std::fmt::Result = write!(
                text,
                "{separator}{kind} {:.2}",
                float(*count) / super::counted(objects)
            );
        }
        text
    }
}
