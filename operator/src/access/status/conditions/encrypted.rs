//! `Encrypted`: whether the gateway pods have a certificate, as far as the operator can see. Not set without
//! `spec.gateway.tls`.

use api::v1alpha1::{client_config_name, condition};

use super::{ConditionOutcome, of_others, related::Related};
use crate::{
    access::validate::{CertificateSource, Validated},
    owned::OwnedKind,
};

pub(crate) fn outcome(access: Option<&Validated>, related: &Related) -> Option<ConditionOutcome> {
    let access = access?;
    let tls = access.tls.as_ref()?;
    Some(match &tls.source {
        CertificateSource::Own {
            authorities: Some(_),
        } => ConditionOutcome::yes(
            condition::REASON_READY,
            format!(
                "The gateway pods serve TLS with a certificate of the operator. Clients verify it with ca.crt in ConfigMap {}.",
                client_config_name(&access.name)
            ),
        ),
        CertificateSource::Own { authorities: None } => ConditionOutcome::unknown(
            condition::REASON_PENDING,
            "The operator has not created the certificate yet.",
        ),
        CertificateSource::Secret(name) => ConditionOutcome::yes(
            condition::REASON_READY,
            format!("The gateway pods serve TLS with the certificate in Secret {name}."),
        ),
        CertificateSource::Issuer(_) if !access.served.contains(&OwnedKind::Certificate) => {
            ConditionOutcome::no(
                condition::REASON_API_NOT_SERVED,
                "spec.gateway.tls.issuerRef: the cluster does not serve Certificate (cert-manager.io/v1). Install cert-manager, which is detected within minutes, or use another source of the certificate.",
            )
        }
        CertificateSource::Issuer(_) => of_certificate(related),
    })
}

/// What cert-manager reports about the Certificate.
fn of_certificate(related: &Related) -> ConditionOutcome {
    let certificate = related.certificate.as_deref();
    let reported = certificate
        .and_then(|certificate| of_others::current(certificate, "/status/conditions"))
        .and_then(|conditions| conditions.into_iter().find(|one| one.type_ == "Ready"));
    match reported {
        Some(ready) if ready.status == "True" => ConditionOutcome::yes(
            condition::REASON_READY,
            "The gateway pods serve TLS with the certificate of cert-manager.",
        ),
        Some(ready) if ready.status == "False" => ready.refusal("cert-manager reports"),
        _ => ConditionOutcome::unknown(
            condition::REASON_PENDING,
            "Waiting for cert-manager to report about the Certificate.",
        ),
    }
}
