//! After validation: the certificate of gateway pods with `spec.gateway.tls: {}`.
//!
//! One Secret in each namespace has an authority and a certificate for each `BedrockAccess`, so that permissions of the
//! operator name this Secret and no other (ADR-0027). Pods mount only their own entry. The Secret is read by each
//! reconcile, and replaced only if it still has the version that was read.

use std::collections::BTreeMap;

use api::{
    names,
    v1alpha1::{client_config_name, gateway_name},
};
use k8s_openapi::{
    ByteString,
    api::core::v1::Secret,
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
    jiff::Timestamp,
};
use kube::{Api, ResourceExt, api::PostParams};

use super::{
    Context,
    validate::{CertificateSource, Entry, Tls, Validated},
};
use crate::{
    certificates::authority::{
        AUTHORITIES, AUTHORITY_KEY, AUTHORITY_MADE, AuthorityError, Bundle, Subject, fresh,
        holds_newest, next, text,
    },
    owned::OwnedKind,
};

/// Attempts to replace the Secret, which other reconciles of the namespace also do.
const ATTEMPTS: usize = 5;
/// Longest common name, <https://www.rfc-editor.org/rfc/rfc5280#appendix-A.1>.
const MAX_COMMON_NAME: usize = 64;

/// Why a certificate cannot be created or renewed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CertifyError {
    /// An object of this name does not belong to the operator.
    #[error(
        "Secret {secret} already exists and does not belong to the operator (the label {label}={manager} is missing). Rename or delete it.",
        secret = names::TLS_SECRET,
        label = names::APP_MANAGED_BY_LABEL,
        manager = names::FIELD_MANAGER
    )]
    Foreign,
    /// The system returns no random bytes, or a date is out of range.
    #[error("failed to create a certificate")]
    Make(#[from] AuthorityError),
    /// A request to the API server failed.
    #[error("failed to {action} Secret {secret}", secret = names::TLS_SECRET)]
    Api {
        action: &'static str,
        source: kube::Error,
    },
}

/// Creates or renews the certificate if that is due. Returns the CA certificates, PEM; `None` if the operator does not
/// create the certificate.
///
/// # Errors
/// See [`CertifyError`].
pub(super) async fn keep(
    access: &Validated,
    context: &Context,
) -> Result<Option<String>, CertifyError> {
    let Some(tls) = own(access) else {
        return Ok(None);
    };
    let secrets: Api<Secret> = Api::namespaced(context.client.clone(), &access.namespace);
    let mut attempt = 1;
    loop {
        let found = secrets.get_opt(names::TLS_SECRET).await;
        let found = found.map_err(|source| CertifyError::Api {
            action: "read",
            source,
        })?;
        let (secret, authorities) = match wanted(access, tls, found, context)? {
            Wanted::Nothing(authorities) => return Ok(Some(authorities)),
            Wanted::Write(secret, authorities) => (*secret, authorities),
        };
        match write(&secrets, &secret, context).await {
            Ok(()) => {
                tracing::info!(secret = names::TLS_SECRET, "renewed a certificate or CA");
                return Ok(Some(authorities));
            }
            Err(kube::Error::Api(status)) if status.code == 409 && attempt < ATTEMPTS => {
                attempt += 1;
            }
            Err(source) => {
                let action = "write";
                return Err(CertifyError::Api { action, source });
            }
        }
    }
}

/// TLS with a certificate of the operator.
fn own(access: &Validated) -> Option<&Tls> {
    let tls = access.tls.as_ref()?;
    matches!(tls.source, CertificateSource::Own { .. }).then_some(tls)
}

/// What to do with the Secret. Both have the CA certificates.
enum Wanted {
    Nothing(String),
    Write(Box<Secret>, String),
}

fn wanted(
    access: &Validated,
    tls: &Tls,
    found: Option<Secret>,
    context: &Context,
) -> Result<Wanted, CertifyError> {
    let secret = found.unwrap_or_default();
    let exists = secret.metadata.name.is_some();
    let manager = secret.labels().get(names::APP_MANAGED_BY_LABEL);
    if exists && manager.map(String::as_str) != Some(names::FIELD_MANAGER) {
        return Err(CertifyError::Foreign);
    }
    let entry = tls.entry(&access.name);
    let authority = format!("Bedrock gateways of namespace {}", access.namespace);
    let server = access.child_name();
    let subject = Subject {
        authority: cut(&authority),
        server: cut(&server),
        names: &tls.names,
    };
    let rotation = &context.settings.gateway_certificates;
    let now = Timestamp::now();
    let due = match bundle_in(&secret, &entry) {
        Some(current) => {
            let published = is_published(access, &current.authorities, context);
            match next(&current, subject, rotation, published, now)? {
                Some(due) => due,
                None if owners(&secret, access).is_none() => {
                    return Ok(Wanted::Nothing(current.authorities));
                }
                None => current,
            }
        }
        None => fresh(subject, rotation, now)?,
    };
    let authorities = due.authorities.clone();
    let secret = replaced(access, secret, &entry, &due, context);
    Ok(Wanted::Write(Box::new(secret), authorities))
}

/// Whether apps have the newest CA: the ConfigMap for them has it, or does not exist.
fn is_published(access: &Validated, authorities: &str, context: &Context) -> bool {
    let name = client_config_name(&access.name);
    let stores = &context.stores;
    let Some(config) = stores.owned_object(OwnedKind::ConfigMap, &access.namespace, &name) else {
        return true;
    };
    let published = config.data.pointer("/data/ca.crt");
    let published = published.and_then(serde_json::Value::as_str);
    published.is_some_and(|published| holds_newest(published, authorities))
}

/// The Secret with this bundle, without entries of objects that no longer exist.
fn replaced(
    access: &Validated,
    mut secret: Secret,
    entry: &Entry,
    bundle: &Bundle,
    context: &Context,
) -> Secret {
    let owners = owners(&secret, access);
    let mut data = secret.data.take().unwrap_or_default();
    data.retain(|key, _| {
        let gateway = key.rsplit_once('.').map_or(key.as_str(), |(name, _)| name);
        let other = gateway.strip_suffix(gateway_name("").as_str());
        other.is_some_and(|other| context.queue.exists(&access.namespace, other))
    });
    let made = bundle.authority_made.to_string();
    for (key, text) in [
        (AUTHORITIES, &bundle.authorities),
        (AUTHORITY_KEY, &bundle.authority_key),
        (AUTHORITY_MADE, &made),
        (&entry.certificate, &bundle.certificate),
        (&entry.key, &bundle.key),
    ] {
        data.insert(key.to_owned(), ByteString(text.clone().into_bytes()));
    }
    let metadata = ObjectMeta {
        name: Some(names::TLS_SECRET.to_owned()),
        namespace: Some(access.namespace.clone()),
        labels: Some(BTreeMap::from([(
            names::APP_MANAGED_BY_LABEL.to_owned(),
            names::FIELD_MANAGER.to_owned(),
        )])),
        ..secret.metadata
    };
    Secret {
        metadata: ObjectMeta {
            owner_references: owners.or(metadata.owner_references.clone()),
            ..metadata
        },
        data: Some(data),
        ..secret
    }
}

/// The owners of the Secret with this `BedrockAccess`; `None` if it is one already. The garbage collector deletes the
/// Secret with the last of them.
fn owners(secret: &Secret, access: &Validated) -> Option<Vec<OwnerReference>> {
    let owner = OwnerReference {
        controller: None,
        block_owner_deletion: None,
        ..access.owner.clone()
    };
    let mut owners = secret.owner_references().to_vec();
    if owners.iter().any(|one| one.uid == owner.uid) {
        return None;
    }
    owners.push(owner);
    Some(owners)
}

async fn write(
    secrets: &Api<Secret>,
    secret: &Secret,
    context: &Context,
) -> Result<(), kube::Error> {
    let parameters = PostParams {
        field_manager: Some(names::FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    };
    if secret.metadata.resource_version.is_some() {
        context.metrics.wrote("Secret", "update");
        secrets
            .replace(names::TLS_SECRET, &parameters, secret)
            .await?;
    } else {
        context.metrics.wrote("Secret", "create");
        secrets.create(&parameters, secret).await?;
    }
    Ok(())
}

/// The authority of the namespace with the certificate of one `BedrockAccess`, which is empty if it does not exist;
/// `None` if a part of the authority is missing.
fn bundle_in(secret: &Secret, entry: &Entry) -> Option<Bundle> {
    let data = secret.data.as_ref()?;
    Some(Bundle {
        certificate: text(data, &entry.certificate).unwrap_or_default(),
        key: text(data, &entry.key).unwrap_or_default(),
        ..Bundle::authority_in(data)?
    })
}

/// At most as many bytes as a common name may have; names of Kubernetes are ASCII.
fn cut(name: &str) -> &str {
    name.get(..MAX_COMMON_NAME).unwrap_or(name)
}
