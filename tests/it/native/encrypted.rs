//! The gateway's own certificate: boto3 and the SDK for Go send bearer tokens over https only, and a renewed certificate
//! is reloaded without a restart.

use std::{fs, path::Path};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use serde_json::json;

use super::{KEY, MODEL, PROMPT, SECRET, bearer, rig_with};
use crate::support::{
    clients::{go_client, python_client},
    eventually,
};

const DOCUMENT: &str = "allow: ['*']\ntls: {certFile: cert.pem, keyFile: key.pem}\n";

/// A certificate authority, which clients trust by its bundle.
struct Authority {
    params: CertificateParams,
    key: KeyPair,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Self {
            params,
            key: KeyPair::generate().unwrap(),
        }
    }

    fn bundle(&self) -> String {
        self.params.self_signed(&self.key).unwrap().pem()
    }

    /// Writes a certificate for localhost and its key, the key first: a reader between the two sees a pair that does
    /// not fit and tries again.
    fn certify(&self, directory: &Path) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.use_authority_key_identifier_extension = true;
        let issuer = Issuer::from_params(&self.params, &self.key);
        let certificate = params.signed_by(&key, &issuer).unwrap();
        fs::write(directory.join("key.pem"), key.serialize_pem()).unwrap();
        fs::write(directory.join("cert.pem"), certificate.pem()).unwrap();
    }
}

#[tokio::test]
async fn bearer_tokens_work_in_boto3_and_go_and_a_renewed_certificate_is_taken_over() {
    let directory = tempfile::tempdir().unwrap();
    let first = Authority::new("the first authority");
    first.certify(directory.path());
    let document = DOCUMENT
        .replace(
            "cert.pem",
            directory.path().join("cert.pem").to_str().unwrap(),
        )
        .replace(
            "key.pem",
            directory.path().join("key.pem").to_str().unwrap(),
        );
    let config = directory.path().join("gateway.yaml");
    fs::write(&config, document).unwrap();
    let (double, gateway) = rig_with(Some(&config)).await;
    let url = format!("https://localhost:{}", gateway.address.port());

    let bundle = |authority: &Authority, name: &str| {
        let path = directory.path().join(name);
        fs::write(&path, authority.bundle()).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let trusted = bundle(&first, "first.pem");
    let environment = bearer(&url, &[("AWS_CA_BUNDLE", &trusted)]);
    let seen = python_client("aws/signed.py", &environment).await;
    assert_eq!(seen, json!({ "text": PROMPT }));
    let seen = go_client(&environment).await;
    assert_eq!(seen["plain"], PROMPT);
    assert_eq!(seen["streamed"], PROMPT);
    assert!(double.calls().iter().all(|call| {
        let held = |value: &String| value.contains(KEY) || value.contains(SECRET);
        !call.headers.values().any(held)
    }));

    let second = Authority::new("the second authority");
    second.certify(directory.path());
    let trusted = bundle(&second, "second.pem");
    let environment = bearer(&url, &[("AWS_CA_BUNDLE", &trusted)]);
    eventually("the renewed certificate is shown", || async {
        let seen = python_client("aws/signed.py", &environment).await;
        (seen == json!({ "text": PROMPT }))
            .then_some(())
            .ok_or_else(|| seen.to_string())
    })
    .await;
    assert!(
        double
            .calls_of("Converse")
            .iter()
            .all(|call| call.model.as_deref() == Some(MODEL))
    );
}
