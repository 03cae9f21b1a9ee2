//! What is made and when: an authority, certificates of it, and the order in which they change.
//!
//! A new authority comes first into the bundle, beside the one before; the certificate in use stays.
//! Only when the new one has been published for a while is a certificate of it made. So whoever trusts the
//! bundle of any moment trusts the certificate of that moment, and of the one before and after. The key
//! of the former authority is not kept. Pure but for the making of keys.

use std::{sync::Arc, time::Duration};

use k8s_openapi::jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::{
    RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    crypto::ring::default_provider,
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};
use time::OffsetDateTime;

use crate::webhook::Rotation;

/// Name of the authority.
const COMMON_NAME: &str = "bedrock-access-operator webhook authority";
/// Clocks differ: what is made now is good since a while ago.
const CLOCK_SKEW: Duration = Duration::from_mins(5);
/// Where a PEM certificate ends.
const END: &str = "-----END CERTIFICATE-----";

/// Everything that replicas share.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Bundle {
    /// Certificates of the authorities, PEM, the newest first, two at most.
    pub(super) authorities: String,
    /// Key of the newest authority, PEM.
    pub(super) authority_key: String,
    /// When the newest authority was made.
    pub(super) authority_made: Timestamp,
    /// The server's certificate, PEM.
    pub(super) certificate: String,
    /// Its key, PEM.
    pub(super) key: String,
}

/// Why no certificate could be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthorityError {
    /// A name is not one, or there is no randomness.
    #[error("failed to make a key or certificate")]
    Make(#[from] rcgen::Error),
    /// A moment outside of what dates can say.
    #[error("failed to say when it ends")]
    Time(#[from] time::error::ComponentRange),
}

/// What has to be in force now instead of `current`; `None` where nothing has to change.
///
/// # Errors
/// When something cannot be made.
pub(super) fn next(
    current: &Bundle,
    names: &[String],
    rotation: &Rotation,
    published: bool,
    now: Timestamp,
) -> Result<Option<Bundle>, AuthorityError> {
    let usable = |authorities: &str, at: Timestamp| {
        names
            .iter()
            .all(|name| trusted(&current.certificate, authorities, name, at))
    };
    let newest = newest(&current.authorities);
    let Some(newest) = newest.filter(|_| usable(&current.authorities, now)) else {
        return fresh(names, rotation, now).map(Some);
    };
    let age = Duration::try_from(now.duration_since(current.authority_made)).unwrap_or_default();
    if age >= rotation.authority / 3 * 2 {
        let (certificate, key) = authority(rotation, now)?;
        return Ok(Some(Bundle {
            authorities: format!("{certificate}{newest}"),
            authority_key: key,
            authority_made: now,
            ..current.clone()
        }));
    }
    // The last third includes the moment it begins at, as a lifetime includes the one it ends at.
    let later = now + (rotation.certificate / 3) + Duration::from_secs(1);
    let from_the_newest = usable(newest, now);
    let settled = published && age >= rotation.overlap;
    let due = if from_the_newest {
        !usable(newest, later)
    } else {
        settled
    };
    if !due {
        return Ok(None);
    }
    let (certificate, key) = certificate(&current.authority_key, names, rotation, now)?;
    Ok(Some(Bundle {
        certificate,
        key,
        ..current.clone()
    }))
}

/// The newest authority of a bundle.
pub(super) fn newest(authorities: &str) -> Option<&str> {
    let end = authorities.find(END)?.saturating_add(END.len());
    let line = authorities.get(end..)?.find('\n').unwrap_or_default();
    authorities.get(
        ..end
            .saturating_add(line)
            .saturating_add(1)
            .min(authorities.len()),
    )
}

/// An authority and a certificate of it, where there is nothing to go on from.
///
/// # Errors
/// When something cannot be made.
pub(super) fn fresh(
    names: &[String],
    rotation: &Rotation,
    now: Timestamp,
) -> Result<Bundle, AuthorityError> {
    let (authorities, authority_key) = authority(rotation, now)?;
    let (certificate, key) = certificate(&authority_key, names, rotation, now)?;
    Ok(Bundle {
        authorities,
        authority_key,
        authority_made: now,
        certificate,
        key,
    })
}

fn authority(rotation: &Rotation, now: Timestamp) -> Result<(String, String), AuthorityError> {
    let key = KeyPair::generate()?;
    let mut params = authority_params();
    (params.not_before, params.not_after) = validity(rotation.authority, now)?;
    let certificate = params.self_signed(&key)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

/// What a certificate says of its issuer: name and key, nothing that changes.
fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, COMMON_NAME);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn certificate(
    authority_key: &str,
    names: &[String],
    rotation: &Rotation,
    now: Timestamp,
) -> Result<(String, String), AuthorityError> {
    let issuer = Issuer::new(authority_params(), KeyPair::from_pem(authority_key)?);
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(names.to_vec())?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(
        DnType::CommonName,
        "bedrock-access-operator webhook".to_owned(),
    );
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    (params.not_before, params.not_after) = validity(rotation.certificate, now)?;
    let certificate = params.signed_by(&key, &issuer)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

fn validity(
    lifetime: Duration,
    now: Timestamp,
) -> Result<(OffsetDateTime, OffsetDateTime), time::error::ComponentRange> {
    let from = OffsetDateTime::from_unix_timestamp((now - CLOCK_SKEW).as_second())?;
    let to = OffsetDateTime::from_unix_timestamp((now + lifetime).as_second())?;
    Ok((from, to))
}

/// Whether a client that trusts these authorities takes this certificate for this name at this time.
pub(super) fn trusted(certificate: &str, authorities: &str, name: &str, at: Timestamp) -> bool {
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_slice_iter(authorities.as_bytes()).flatten() {
        if roots.add(authority).is_err() {
            return false;
        }
    }
    let Ok(certificate) = CertificateDer::from_pem_slice(certificate.as_bytes()) else {
        return false;
    };
    let Ok(name) = ServerName::try_from(name) else {
        return false;
    };
    let Ok(seconds) = u64::try_from(at.as_second()) else {
        return false;
    };
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::new(default_provider()));
    verifier.build().is_ok_and(|verifier| {
        let at = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        verifier
            .verify_server_cert(&certificate, &[], &name, &[], at)
            .is_ok()
    })
}

impl std::fmt::Debug for Bundle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bundle")
            .field("authorities", &self.authorities)
            .field("authority_made", &self.authority_made)
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
