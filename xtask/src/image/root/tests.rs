use std::{net::UdpSocket, process::Command, thread, time::Duration};

use super::*;
use crate::{console::Console, debian};

#[test]
fn libraries_are_read_from_what_ldd_prints() {
    let output = "\tlinux-vdso.so.1 (0x00007ffe)\n\
                  \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)\n\
                  \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
    let expected = [
        "/lib/x86_64-linux-gnu/libc.so.6",
        "/lib64/ld-linux-x86-64.so.2",
    ];
    assert_eq!(libraries(output).unwrap(), expected.map(PathBuf::from));
    assert!(libraries("\tlibssl.so.3 => not found\n").is_err());
}

#[test]
fn directories_come_before_their_files() {
    let mut root = Root::default();
    root.add_text("etc/ssl/a", "");
    let paths: Vec<_> = root.entries().map(|(path, _)| path).collect();
    assert_eq!(paths, ["etc", "etc/ssl", "etc/ssl/a"]);
}

#[test]
fn trusted_roots_are_certificates_of_the_distribution() {
    let bundle = String::from_utf8(trusted_roots().unwrap()).unwrap();
    let begun = bundle.matches("-----BEGIN CERTIFICATE-----\n").count();
    assert!(begun > 50, "{begun}");
    assert_eq!(begun, bundle.matches("-----END CERTIFICATE-----\n").count());
}

/// A DNS server that resolves every name to 192.0.2.7.
fn answer_names(server: &UdpSocket) {
    let mut question = [0; 512];
    while let Ok((length, from)) = server.recv_from(&mut question) {
        let question = &question[..length];
        let name_end = 12 + question[12..].iter().position(|byte| *byte == 0).unwrap();
        let is_address = question[name_end + 1..name_end + 3] == [0, 1];
        let mut answer = question[..name_end + 5].to_vec();
        answer[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, u8::from(is_address), 0, 0, 0, 0]);
        if is_address {
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7]);
        }
        server.send_to(&answer, from).unwrap();
    }
}

/// Needs root for chroot(2) and for port 53; without root, the demo tests it in a pod.
#[test]
fn names_resolve_inside_the_root_by_file_and_by_dns() {
    if !debian::is_root() {
        eprintln!("skipped: needs root");
        return;
    }
    let server = UdpSocket::bind("127.0.0.153:53").unwrap();
    server
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    thread::spawn(move || answer_names(&server));
    let getent = Path::new("/usr/bin/getent");
    let directory = tempfile::tempdir().unwrap();
    Console::new()
        .step("root test: names", |step| {
            let mut root = Root::minimal()?;
            root.add_program(getent, "usr/bin/getent")?;
            root.add_libraries_of(step, getent)?;
            root.add_text("etc/hosts", "192.0.2.8 by-file.example\n");
            root.add_text("etc/resolv.conf", "nameserver 127.0.0.153\n");
            for (path, entry) in root.entries() {
                let path = directory.path().join(path);
                match entry {
                    Entry::Directory(..) => fs::create_dir_all(&path)?,
                    Entry::File(mode, content) => {
                        fs::write(&path, content)?;
                        let mode = std::os::unix::fs::PermissionsExt::from_mode(*mode);
                        fs::set_permissions(&path, mode)?;
                    }
                }
            }
            Ok(())
        })
        .unwrap();
    for (name, address) in [
        ("by-file.example", "192.0.2.8"),
        ("by-dns.example", "192.0.2.7"),
    ] {
        let output = Command::new("chroot")
            .arg(directory.path())
            .args(["/usr/bin/getent", "ahostsv4", name])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            text.starts_with(address),
            "{name}: {text} {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}
