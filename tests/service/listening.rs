//! Where and how the service listens: sockets, HTTP versions, TLS versions, certificates; curl and openssl are the peers.

use std::fs;
use std::net::TcpListener;
use std::process::Command;

use crate::process::{BOTH, Home, PLAIN, Served};

#[test]
fn both_versions_of_http_are_spoken_on_every_kind_of_socket() {
    let home = Home::new(
        "listen = [\"127.0.0.1:0\", \"[::1]:0\", { address = \"unix:c.sock\", plain_http = true }]\n\
         certificate = { chain = \"server.pem\", key = \"server.key\" }\nclient_ca = { file = \"ca.pem\" }\n",
    );
    let mut served = home.serve();
    let six = served.wait_for("https://[::1]:");
    served.wait_for("unix:");
    let four = format!("https://localhost:{}/healthz", served.port());
    let six = format!("https:{}/healthz", six.split_once("https:").unwrap().1);
    let show = ["--write-out", "%{http_version}"];
    let certificate = ["--cert", "client.pem", "--key", "client.key"];
    for (version, answer) in [("--http1.1", "ok\n1.1"), ("--http2", "ok\n2")] {
        for url in [&four, &six] {
            let without = [&[version, url.as_str()], &show[..]].concat();
            assert_eq!(home.curl(&without), answer, "{url}");
            let with = [&[version, url.as_str()], &show[..], &certificate[..]].concat();
            assert_eq!(home.curl(&with), answer, "{url}");
        }
    }
    for (version, answer) in [("--http1.1", "ok\n1.1"), ("--http2-prior-knowledge", "ok\n2")] {
        let socket = ["--unix-socket", "c.sock", version, "http://localhost/healthz"];
        assert_eq!(home.curl(&[&socket[..], &show[..]].concat()), answer);
    }
    served.signal("TERM");
    assert!(served.ended().success());
    assert!(!home.path("c.sock").exists(), "the socket stays behind");
}

#[test]
fn tls_is_1_2_or_newer_or_as_new_as_asked_for() {
    let home = Home::new(BOTH);
    let protocol = |served: &_, version: &str| {
        // Old versions and their ciphers are off in openssl's own configuration.
        let said = home.handshake(served, &[version, "-cipher", "DEFAULT:@SECLEVEL=0"]);
        let agreed = said.lines().find(|line| line.starts_with("New, TLSv")).map(str::to_owned);
        agreed.map(|line| line.split(',').nth(1).unwrap().trim().to_owned())
    };
    let served = home.serve();
    assert_eq!(protocol(&served, "-tls1_3").as_deref(), Some("TLSv1.3"));
    assert_eq!(protocol(&served, "-tls1_2").as_deref(), Some("TLSv1.2"));
    assert_eq!(protocol(&served, "-tls1_1"), None);
    assert_eq!(protocol(&served, "-tls1"), None);
    drop(served);
    home.configure(&format!("{BOTH}min_tls = \"1.3\"\n"));
    let served = home.serve();
    assert_eq!(protocol(&served, "-tls1_3").as_deref(), Some("TLSv1.3"));
    assert_eq!(protocol(&served, "-tls1_2"), None);
}

#[test]
fn a_client_certificate_of_another_authority_is_refused() {
    let home = Home::new(BOTH);
    home.authority("stranger");
    home.leaf("stranger", "other", "extendedKeyUsage=clientAuth");
    home.leaf("ca", "wrong-use", "extendedKeyUsage=serverAuth");
    let served = home.serve();
    let url = format!("https://localhost:{}/healthz", served.port());
    for version in ["1.2", "1.3"] {
        let ask = |name: &str| {
            let [pem, key] = ["pem", "key"].map(|end| format!("{name}.{end}"));
            home.curl(&["--tls-max", version, "--cert", &pem, "--key", &key, &url])
        };
        assert_eq!(ask("client"), "ok\n", "{version}");
        for name in ["other", "wrong-use"] {
            assert_eq!(ask(name), "", "{name} {version}");
        }
        assert_eq!(home.curl(&["--tls-max", version, &url]), "ok\n", "{version}");
    }
}

/// The serial number of the certificate that is shown.
fn serial(home: &Home, served: &Served) -> String {
    let said = home.handshake(served, &[]);
    let pem = said.split_once("-----BEGIN").unwrap().1.split_once("-----END").unwrap().0;
    pem.to_owned()
}

#[test]
fn a_renewed_certificate_serves_without_a_restart() {
    let home = Home::new(BOTH);
    let mut served = home.serve();
    let first = serial(&home, &served);
    let (old_key, san) =
        (fs::read(home.path("server.key")).unwrap(), "subjectAltName=DNS:localhost");
    home.leaf("ca", "server", san);
    let new_key = fs::read(home.path("server.key")).unwrap();
    // Half of a renewal: the certificate is new, the key is not.
    fs::write(home.path("server.key"), old_key).unwrap();
    served.wait_for("the server certificate stays as it was");
    assert_eq!(serial(&home, &served), first);
    let chain = fs::read(home.path("server.pem")).unwrap();
    fs::write(home.path("server.pem"), "no certificate").unwrap();
    served.wait_for("server.pem: the PEM text holds no key");
    fs::write(home.path("server.pem"), chain).unwrap();
    fs::write(home.path("server.key"), new_key).unwrap();
    served.wait_for("the server certificate was read again");
    assert_ne!(serial(&home, &served), first);
    let url = format!("https://localhost:{}/healthz", served.port());
    assert_eq!(home.curl(&[&url]), "ok\n");
    // An authority that is taken away takes its clients with it.
    home.authority("ca2");
    let ca = fs::read(home.path("ca.pem")).unwrap();
    fs::write(home.path("trusted.pem"), &ca).unwrap();
    fs::copy(home.path("ca2.pem"), home.path("ca.pem")).unwrap();
    served.wait_for("client_ca was read again");
    let client = ["--cacert", "trusted.pem", "--cert", "client.pem", "--key", "client.key"];
    assert_eq!(home.curl(&[&client[..], &[&url]].concat()), "");
    assert_eq!(home.curl(&["--cacert", "trusted.pem", &url]), "ok\n");
}

/// Over HTTP/2 a body there is an error of the connection, and clients ask over that if nobody says otherwise.
#[test]
fn who_asks_for_the_head_alone_gets_it_over_either_version() {
    let home = Home::new(BOTH);
    let served = home.serve();
    let url = |path: &str| format!("https://localhost:{}{path}", served.port());
    for version in ["--http1.1", "--http2"] {
        for (path, status, length) in [("/healthz", "200", 3), ("/nothing", "404", 122)] {
            let ask = [version, "--head", "--write-out", "%{http_code} %{exitcode}", &url(path)];
            let head = home.curl(&ask);
            assert!(head.ends_with(&format!("{status} 0")), "{version} {path}: {head}");
            assert!(head.contains(&format!("content-length: {length}\r\n")), "{version}: {head}");
        }
        // The connection goes on.
        let url = url("/healthz");
        let both = ["--head", &url, "--next", "--silent", "--cacert", "ca.pem", version, &url];
        let told = home.curl(&[&[version][..], &both].concat());
        assert!(told.ends_with("\r\n\r\nok\n"), "{version}: {told}");
    }
}

#[test]
fn all_addresses_of_both_families_stand_side_by_side() {
    let home = Home::new(BOTH);
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = home.command();
    for all in ["0.0.0.0", "[::]"] {
        command.args(["--listen", &format!("{all}:{port}")]);
    }
    let _served = Served::start(command);
    let url = format!("https://localhost:{port}/healthz");
    for host in ["127.0.0.1", "[::1]"] {
        let to = format!("::{host}:{port}");
        assert_eq!(home.curl(&["--connect-to", &to, &url]), "ok\n", "{host}");
    }
}

#[test]
fn what_cannot_be_served_is_told_before_anything_listens() {
    let home = Home::new(BOTH);
    let served = home.serve();
    let taken = format!("listen = [\"{}\"]\nplain_http = true\n", served.address());
    home.leaf("ca", "server2", "subjectAltName=DNS:localhost");
    for (service, code, said) in [
        (taken.as_str(), 3, "the address is in use"),
        (
            "listen = [\"192.0.2.1:1\"]\ncertificate = { chain = \"server.pem\", key = \"server.key\" }\n",
            3,
            "the address is none of this machine",
        ),
        ("listen = [\"0.0.0.0:0\"]\nplain_http = true\n", 2, "to the network"),
        ("listen = [\"127.0.0.1:0\"]\n", 2, "needs `certificate`"),
        ("listen = [\"127.0.0.1:1\", \"127.0.0.1:1\"]\nplain_http = true\n", 2, "twice"),
        ("certificate = { chain = \"server.pem\", key = \"server2.key\" }\n", 2, "certificate"),
        ("certificate = { chain = \"server3.pem\", key = \"server.key\" }\n", 2, "cannot read"),
        ("certificate = { label = \"app.session.seal\" }\n", 2, "is not for mtls"),
        (
            "certificate = { chain = \"server.pem\", key = \"server.key\" }\nclient_ca = { file = \"server.key\" }\n",
            2,
            "trust anchor",
        ),
        ("listen = [\"unix:nowhere/c.sock\"]\nplain_http = true\n", 3, "make the directory"),
        ("listen = [\"unix:server.pem\"]\nplain_http = true\n", 3, "no socket"),
    ] {
        home.configure(service);
        let (exit, text) = home.refused();
        assert!(
            exit == code && text.contains(said) && !text.contains("listening"),
            "{exit} {text}"
        );
        assert!(text.contains("help: "), "{text}");
    }
    home.configure(PLAIN);
    for address in ["localhost:8443", "8443", "[::1]", "unix:"] {
        let done = home.command().args(["--listen", address]).output().unwrap();
        let text = String::from_utf8(done.stderr).unwrap();
        assert!(done.status.code() == Some(2) && text.contains("unix:/run"), "{address}: {text}");
    }
}

#[test]
fn a_socket_that_a_killed_server_left_is_replaced_and_one_in_use_is_not() {
    let home = Home::new("listen = [\"unix:c.sock\"]\nplain_http = true\n");
    let first = home.serve();
    let (exit, text) = home.refused();
    assert!(exit == 3 && text.contains("in use"), "{exit} {text}");
    first.signal("KILL");
    drop(first);
    assert!(home.path("c.sock").exists());
    let _second = home.serve();
    let ask = ["--unix-socket", "c.sock", "http://localhost/healthz"];
    assert_eq!(home.curl(&ask), "ok\n");
}

#[test]
fn check_tells_of_certificates_that_are_wrong_or_end_soon() {
    let home = Home::new(BOTH);
    home.leaf("ca", "server2", "subjectAltName=DNS:localhost");
    let check = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_claviger"));
        let done = command.arg("-c").arg(home.config()).args(["check", "--json"]).output().unwrap();
        let json: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
        let codes = json["problems"].as_array().unwrap().iter();
        let codes: Vec<String> =
            codes.map(|one| one["code"].as_str().unwrap().to_owned()).collect();
        codes
    };
    assert!(check().iter().any(|code| code == "certificate_expires"), "{:?}", check());
    fs::remove_file(home.path("server.key")).unwrap();
    assert!(check().iter().any(|code| code == "io_failed"), "{:?}", check());
    home.configure("certificate = { label = \"app.nothing\" }\n");
    assert!(check().iter().any(|code| code == "unknown_label"), "{:?}", check());
    for (service, label) in [("certificate", "app.session.seal"), ("client_ca", "app.session.seal")]
    {
        home.configure(&format!("{PLAIN}{service} = {{ label = \"{label}\" }}\n"));
        assert!(check().iter().any(|code| code == "wrong_use"), "{:?}", check());
    }
    // In a volume the names of files are labels.
    fs::create_dir(home.path("volume")).unwrap();
    home.configure(&format!(
        "{PLAIN}certificate = {{ label = \"app.https\" }}\n[labels.\"app.https\"]\nuse = \"mtls\"\n\
         [stores.mounted]\nkind = \"volume\"\ndirectory = \"../volume\"\nformat = \"pem\"\n"
    ));
    assert!(check().iter().any(|code| code == "unknown_label"), "{:?}", check());
    assert!(home.refused().1.contains("no secret is mapped to label \"app.https\""));
    let pair = ["server2.key", "server2.pem"].map(|file| fs::read(home.path(file)).unwrap());
    fs::write(home.path("volume/app.https"), pair.concat()).unwrap();
    assert!(!check().iter().any(|code| code == "unknown_label"), "{:?}", check());
    drop(home.serve());
    // Nobody shows a certificate who is not asked for one.
    let portal = "[[callers]]\nname = \"portal\"\ncertificate = { subject = \"CN=portal\" }\n";
    home.configure(&format!("{PLAIN}{portal}"));
    assert!(check().iter().any(|code| code == "missing_client_ca"), "{:?}", check());
    home.configure(&format!("{PLAIN}client_ca = {{ file = \"ca.pem\" }}\n{portal}"));
    assert!(!check().iter().any(|code| code == "missing_client_ca"), "{:?}", check());
    home.configure(PLAIN);
    assert!(!check().iter().any(|code| code.starts_with("certificate")), "{:?}", check());
}
