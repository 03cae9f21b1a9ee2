use super::*;

#[test]
fn certificate_files_are_reloaded_when_they_change() {
    let directory =
        std::env::temp_dir().join(format!("webhook-certificate-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let write = || {
        let own = rcgen::generate_simple_self_signed(vec!["a.svc".to_owned()]).unwrap();
        std::fs::write(directory.join("tls.crt"), own.cert.pem()).unwrap();
        std::fs::write(directory.join("tls.key"), own.signing_key.serialize_pem()).unwrap();
    };
    let certificates = Certificates::default();
    write();
    let first = from_files(&directory).unwrap();
    certificates.activate(first.clone(), true);
    assert!(certificates.usable.is_cancelled());
    write();
    certificates.activate(from_files(&directory).unwrap(), true);
    let now = certificates.current.load_full().unwrap();
    assert_ne!(now.cert, first.cert);

    // Partially written: certificate and key do not match, so the current one stays.
    let other = rcgen::KeyPair::generate().unwrap();
    std::fs::write(directory.join("tls.key"), other.serialize_pem()).unwrap();
    assert!(matches!(
        from_files(&directory),
        Err(CertificateError::Key(_))
    ));
    std::fs::write(directory.join("tls.key"), "").unwrap();
    assert!(matches!(
        from_files(&directory),
        Err(CertificateError::Pem { .. })
    ));
    std::fs::remove_dir_all(&directory).unwrap();
    assert!(matches!(
        from_files(&directory),
        Err(CertificateError::File { .. })
    ));
}
