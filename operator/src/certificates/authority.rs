//! Creates and renews a certificate authority (CA) and a server's certificate, of the webhook or of a gateway. Pure, except for
//! key generation.
//!
//! A renewed CA is first added to the bundle beside the previous one, while the certificate in use stays. Only after
//! the new CA has been published for a while, a certificate of it is created. So a client with the bundle of one step
//! trusts the certificates of this step, the previous step and the next step. The key of the previous CA is not kept.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use k8s_openapi::{ByteString, jiff::Timestamp};
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

/// Keys of a Secret with an authority.
pub(crate) const AUTHORITIES: &str = "ca.crt";
pub(crate) const AUTHORITY_KEY: &str = "ca.key";
pub(crate) const AUTHORITY_MADE: &str = "ca.made";

/// Clocks differ: certificates are valid from a few minutes before their creation.
const CLOCK_SKEW: Duration = Duration::from_mins(5);
/// End of a PEM certificate.
const END: &str = "-----END CERTIFICATE-----";

/// Whom the certificates are for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    /// Common name of the CA.
    pub(crate) authority: &'a str,
    /// Common name of the server, at most 64 characters.
    pub(crate) server: &'a str,
    /// DNS names and addresses of the server.
    pub(crate) names: &'a [String],
}

/// Keys and certificates that all replicas share.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Bundle {
    /// CA certificates, PEM, the newest first, at most two.
    pub(crate) authorities: String,
    /// Key of the newest CA, PEM.
    pub(crate) authority_key: String,
    /// When the newest CA was created.
    pub(crate) authority_made: Timestamp,
    /// The server's certificate, PEM; empty if it does not exist yet.
    pub(crate) certificate: String,
    /// Its key, PEM.
    pub(crate) key: String,
}

/// Why a certificate cannot be created.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthorityError {
    /// A name is invalid, or the system returns no random bytes.
    #[error("failed to generate a key or certificate")]
    Make(#[from] rcgen::Error),
    /// A date is out of range.
    #[error("failed to compute the validity")]
    Time(#[from] time::error::ComponentRange),
}

/// The bundle that must replace `current` now; `None` if no change is due.
///
/// # Errors
/// When a key or certificate cannot be created.
pub(crate) fn next(
    current: &Bundle,
    subject: Subject<'_>,
    rotation: &Rotation,
    published: bool,
    now: Timestamp,
) -> Result<Option<Bundle>, AuthorityError> {
    let usable = |authorities: &str, at: Timestamp| current.is_trusted(subject, authorities, at);
    let age = Duration::try_from(now.duration_since(current.authority_made)).unwrap_or_default();
    let newest = newest(&current.authorities).filter(|_| age < rotation.authority);
    let Some(newest) = newest else {
        return fresh(subject, rotation, now).map(Some);
    };
    if !usable(&current.authorities, now) {
        // A new server, other names, or a certificate that was not renewed in time.
        let renewed = current.renewed(subject, rotation, now).ok();
        return match renewed.filter(|bundle| bundle.is_trusted(subject, newest, now)) {
            Some(renewed) => Ok(Some(renewed)),
            None => fresh(subject, rotation, now).map(Some),
        };
    }
    if age >= rotation.authority / 3 * 2 {
        let (certificate, key) = authority(subject, rotation, now)?;
        return Ok(Some(Bundle {
            authorities: format!("{certificate}{newest}"),
            authority_key: key,
            authority_made: now,
            ..current.clone()
        }));
    }
    // The last third includes its first moment, as a lifetime includes its last.
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
    current.renewed(subject, rotation, now).map(Some)
}

impl Bundle {
    /// The authority in a Secret, without a certificate; `None` if a part is missing.
    pub(crate) fn authority_in(data: &BTreeMap<String, ByteString>) -> Option<Self> {
        Some(Self {
            authorities: text(data, AUTHORITIES)?,
            authority_key: text(data, AUTHORITY_KEY)?,
            authority_made: text(data, AUTHORITY_MADE)?.parse().ok()?,
            certificate: String::new(),
            key: String::new(),
        })
    }

    /// With a new certificate of the newest CA.
    fn renewed(
        &self,
        subject: Subject<'_>,
        rotation: &Rotation,
        now: Timestamp,
    ) -> Result<Self, AuthorityError> {
        let (certificate, key) = certificate(&self.authority_key, subject, rotation, now)?;
        Ok(Self {
            certificate,
            key,
            ..self.clone()
        })
    }

    /// Whether a client that trusts these CA certificates accepts the certificate for all names.
    fn is_trusted(&self, subject: Subject<'_>, authorities: &str, at: Timestamp) -> bool {
        let mut names = subject.names.iter();
        names.all(|name| trusted(&self.certificate, authorities, name, at))
    }
}

/// Whether a published bundle contains the newest of these CA certificates.
pub(crate) fn holds_newest(published: &str, authorities: &str) -> bool {
    newest(authorities).is_some_and(|newest| published.contains(newest.trim_end()))
}

/// The text of a key of a Secret.
pub(crate) fn text(data: &BTreeMap<String, ByteString>, key: &str) -> Option<String> {
    String::from_utf8(data.get(key)?.0.clone()).ok()
}

/// The newest CA certificate of a bundle.
fn newest(authorities: &str) -> Option<&str> {
    let end = authorities.find(END)?.saturating_add(END.len());
    let line = authorities.get(end..)?.find('\n').unwrap_or_default();
    authorities.get(
        ..end
            .saturating_add(line)
            .saturating_add(1)
            .min(authorities.len()),
    )
}

/// A new CA and a certificate of it, without a previous bundle.
///
/// # Errors
/// When a key or certificate cannot be created.
pub(crate) fn fresh(
    subject: Subject<'_>,
    rotation: &Rotation,
    now: Timestamp,
) -> Result<Bundle, AuthorityError> {
    let (authorities, authority_key) = authority(subject, rotation, now)?;
    let (certificate, key) = certificate(&authority_key, subject, rotation, now)?;
    Ok(Bundle {
        authorities,
        authority_key,
        authority_made: now,
        certificate,
        key,
    })
}

fn authority(
    subject: Subject<'_>,
    rotation: &Rotation,
    now: Timestamp,
) -> Result<(String, String), AuthorityError> {
    let key = KeyPair::generate()?;
    let mut params = authority_params(subject);
    (params.not_before, params.not_after) = validity(rotation.authority, now)?;
    let certificate = params.self_signed(&key)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

/// Parameters that identify the CA as an issuer: only its name and key, which do not change.
fn authority_params(subject: Subject<'_>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, subject.authority);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn certificate(
    authority_key: &str,
    subject: Subject<'_>,
    rotation: &Rotation,
    now: Timestamp,
) -> Result<(String, String), AuthorityError> {
    let issuer = Issuer::new(authority_params(subject), KeyPair::from_pem(authority_key)?);
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(subject.names.to_vec())?;
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, subject.server);
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

/// Whether a client that trusts these CA certificates accepts the certificate for this name at this time.
fn trusted(certificate: &str, authorities: &str, name: &str, at: Timestamp) -> bool {
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
