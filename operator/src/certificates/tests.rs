use super::*;

#[test]
fn files_of_somebody_else_are_taken_and_taken_again_when_they_change() {
    let folder = std::env::temp_dir().join(format!("webhook-certificate-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let write = || {
        let own = rcgen::generate_simple_self_signed(vec!["a.svc".to_owned()]).unwrap();
        std::fs::write(folder.join("tls.crt"), own.cert.pem()).unwrap();
        std::fs::write(folder.join("tls.key"), own.signing_key.serialize_pem()).unwrap();
    };
    let certificates = Certificates::default();
    write();
    let first = from_files(&folder).unwrap();
    certificates.use_from_now_on(first.clone(), true);
    assert!(certificates.usable.is_cancelled());
    write();
    certificates.use_from_now_on(from_files(&folder).unwrap(), true);
    let now = certificates.current.load_full().unwrap();
    assert_ne!(now.cert, first.cert);

    // Half written: certificate and key do not fit, and what is in force stays.
    let other = rcgen::KeyPair::generate().unwrap();
    std::fs::write(folder.join("tls.key"), other.serialize_pem()).unwrap();
    assert!(matches!(from_files(&folder), Err(CertificateError::Key(_))));
    std::fs::write(folder.join("tls.key"), "").unwrap();
    assert!(matches!(
        from_files(&folder),
        Err(CertificateError::Pem { .. })
    ));
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(matches!(
        from_files(&folder),
        Err(CertificateError::File { .. })
    ));
}
