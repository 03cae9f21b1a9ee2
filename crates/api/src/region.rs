//! AWS regions and their partitions.
//!
//! Only the form of a region is validated, so that new regions work without a new release. The partition is derived from
//! the prefix of the region, as in botocore's `partitions.json`
//! (<https://docs.aws.amazon.com/whitepapers/latest/aws-fault-isolation-boundaries/partitions.html>).

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Name of an AWS region, such as `us-east-1`: lower-case letters, digits and hyphens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Region(String);

/// An AWS partition: a group of regions with separate accounts, ARNs and endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Partition {
    /// The commercial regions.
    Aws,
    /// China.
    China,
    /// AWS GovCloud (US).
    GovCloud,
    /// AWS European Sovereign Cloud.
    EuropeanSovereign,
    /// Isolated regions (US), top secret.
    Iso,
    /// Isolated regions (US), secret.
    IsoB,
    /// Isolated regions (Europe).
    IsoE,
    /// Isolated regions (US), additional partition.
    IsoF,
}

/// A text is not the name of an AWS region.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an AWS Region: expected a name such as us-east-1")]
pub struct RegionError(String);

impl Region {
    /// The name, such as `us-east-1`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The partition of the region.
    pub fn partition(&self) -> Partition {
        let prefixes = [
            ("cn-", Partition::China),
            ("us-gov-", Partition::GovCloud),
            ("eusc-", Partition::EuropeanSovereign),
            ("us-isob-", Partition::IsoB),
            ("us-isof-", Partition::IsoF),
            ("us-iso-", Partition::Iso),
            ("eu-isoe-", Partition::IsoE),
        ];
        prefixes
            .iter()
            .find(|(prefix, _)| self.0.starts_with(prefix))
            .map_or(Partition::Aws, |(_, partition)| *partition)
    }
}

impl Partition {
    /// All partitions.
    pub const ALL: [Self; 8] = [
        Self::Aws,
        Self::China,
        Self::GovCloud,
        Self::EuropeanSovereign,
        Self::Iso,
        Self::IsoB,
        Self::IsoE,
        Self::IsoF,
    ];

    /// Identifier of the partition in ARNs, such as `aws` or `aws-us-gov`.
    pub fn id(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::China => "aws-cn",
            Self::GovCloud => "aws-us-gov",
            Self::EuropeanSovereign => "aws-eusc",
            Self::Iso => "aws-iso",
            Self::IsoB => "aws-iso-b",
            Self::IsoE => "aws-iso-e",
            Self::IsoF => "aws-iso-f",
        }
    }

    /// DNS suffix of dual-stack endpoints (IPv4 and IPv6), such as `api.aws`. Newer services such as `bedrock-mantle` have
    /// dual-stack endpoints only. If the AWS SDKs define no dual-stack suffix, the suffix of all endpoints.
    pub fn dual_stack_dns_suffix(self) -> &'static str {
        match self {
            Self::Aws | Self::GovCloud => "api.aws",
            Self::China => "api.amazonwebservices.com.cn",
            Self::EuropeanSovereign => "api.amazonwebservices.eu",
            Self::Iso | Self::IsoB | Self::IsoE | Self::IsoF => self.dns_suffix(),
        }
    }

    /// DNS suffix of the endpoints of the partition, such as `amazonaws.com`.
    pub fn dns_suffix(self) -> &'static str {
        match self {
            Self::Aws | Self::GovCloud => "amazonaws.com",
            Self::China => "amazonaws.com.cn",
            Self::EuropeanSovereign => "amazonaws.eu",
            Self::Iso => "c2s.ic.gov",
            Self::IsoB => "sc2s.sgov.gov",
            Self::IsoE => "cloud.adc-e.uk",
            Self::IsoF => "csp.hci.ic.gov",
        }
    }
}

impl FromStr for Region {
    type Err = RegionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts: Vec<&str> = text.split('-').collect();
        let letters = |part: &&str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        };
        let numbered = parts
            .last()
            .is_some_and(|last| !last.is_empty() && last.bytes().all(|b| b.is_ascii_digit()));
        if (3..=5).contains(&parts.len()) && parts.iter().all(letters) && numbered {
            Ok(Self(text.to_owned()))
        } else {
            Err(RegionError(text.to_owned()))
        }
    }
}

impl TryFrom<String> for Region {
    type Error = RegionError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Region> for String {
    fn from(region: Region) -> Self {
        region.0
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partition_is_derived_from_the_prefix_of_the_region() {
        for (name, partition) in [
            ("us-east-1", "aws"),
            ("ap-southeast-5", "aws"),
            ("cn-north-1", "aws-cn"),
            ("us-gov-west-1", "aws-us-gov"),
            ("us-iso-east-1", "aws-iso"),
            ("us-isob-east-1", "aws-iso-b"),
            ("eusc-de-east-1", "aws-eusc"),
        ] {
            let region: Region = name.parse().unwrap();
            assert_eq!(region.partition().id(), partition, "{name}");
        }
    }

    #[test]
    fn other_texts_are_rejected_with_an_example() {
        for text in [
            "",
            "us-east",
            "US-EAST-1",
            "us east 1",
            "us-east-1a",
            "-1",
            "us--1",
            "a-b-c-d-e-1",
        ] {
            let error = text.parse::<Region>().unwrap_err();
            assert!(error.to_string().contains("us-east-1"), "{text}");
        }
    }
}
