//! What `claviger init` makes serves at once: curl signs with the administrator's certificate.

use std::path::Path;
use std::process::Command;

use crate::process::Served;

fn run(program: &str, arguments: &[&str], folder: &Path) -> String {
    let done = Command::new(program).args(arguments).current_dir(folder).output().unwrap();
    let text = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
    assert!(done.status.success(), "{program} {arguments:?}: {text}");
    text
}

#[test]
fn the_starter_serves_its_administrator_and_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let claviger = env!("CARGO_BIN_EXE_claviger");
    run(claviger, &["init", "demo"], folder.path());
    let demo = folder.path().join("demo");
    let checked = run(claviger, &["check"], &demo);
    assert!(checked.contains("0 errors, 0 warnings"), "{checked}");
    let verify = ["verify", "-x509_strict", "-CAfile", "tls/ca.pem", "-purpose"];
    for (purpose, leaf) in [("sslserver", "server"), ("sslclient", "admin")] {
        let leaf = format!("tls/{leaf}.pem");
        run("openssl", &[&verify[..], &[purpose, &leaf]].concat(), &demo);
    }
    for name in ["ca", "server", "admin"] {
        let key = std::fs::metadata(demo.join(format!("tls/{name}.key"))).unwrap();
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&key.permissions()) & 0o777, 0o600);
    }
    let mut command = Command::new(claviger);
    command.args(["serve", "--listen", "127.0.0.1:0"]).current_dir(&demo);
    let served = Served::start(command);
    let label = "am.services.oauth2.oidc.signing.ES256";
    let url = format!("https://localhost:{}/v1/labels/{label}/sign", served.port());
    let ask = ["--silent", "--cacert", "tls/ca.pem", "--json", r#"{"claims":{}}"#, &url];
    let admin = ["--cert", "tls/admin.pem", "--key", "tls/admin.key"];
    let signed = run("curl", &[&ask[..], &admin[..]].concat(), &demo);
    assert!(signed.contains("\"alias\":\"es256-1\""), "{signed}");
    // The answer may be there before the body: it is not lost under it.
    for _ in 0..20 {
        let refused = run("curl", &[&ask[..], &["--http2"]].concat(), &demo);
        assert!(refused.contains("\"unauthenticated\""), "{refused}");
    }
}
