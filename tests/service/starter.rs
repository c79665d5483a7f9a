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

/// The first commands of a section of the README.
fn commands_of_readme(section: &str) -> String {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    let section = readme.split(&format!("\n## {section}\n")).nth(1).unwrap();
    section.split("```sh\n").nth(1).unwrap().split("```").next().unwrap().to_owned()
}

/// The commands of the README, with an API key and with a token that the label of an issuer signed.
#[test]
fn the_readmes_curl_proves_a_caller_by_key_and_by_token() {
    let block = commands_of_readme("Clients");
    let folder = tempfile::tempdir().unwrap();
    let claviger = env!("CARGO_BIN_EXE_claviger");
    run(claviger, &["init", "demo"], folder.path());
    let file = folder.path().join("demo/claviger.toml");
    let (key, issuer) = ("a key for curl alone", "am.services.oauth2.oidc.signing.EDDSA");
    let text = std::fs::read_to_string(&file).unwrap()
        + &format!(
            "\n[[callers]]\nname = \"key\"\napi_key_sha256 = \"{}\"\n\n[[callers]]\nname = \"token\"\n\
             token = {{ issuer = \"https://ci.example\", audience = \"claviger\", subject = \"deploy\", \
             label = \"{issuer}\" }}\n\n[[grants]]\ncallers = [\"key\", \"token\"]\nrights = [\"sign\"]\n\
             labels = [\"am.services.oauth2.oidc.signing.ES256\"]\nrealms = [\"*\"]\n",
            super::shop::Shop::hash(key)
        );
    std::fs::write(&file, text).unwrap();
    let claims = r#"{"iss":"https://ci.example","aud":"claviger","sub":"deploy","exp":4102444800}"#;
    std::fs::write(folder.path().join("claims"), claims).unwrap();
    let sign = ["-c", "demo/claviger.toml", "sign", "--label", issuer, "--in", "claims"];
    let token = Command::new(claviger).args(sign).current_dir(&folder).output().unwrap();
    let token = String::from_utf8(token.stdout).unwrap();
    let mut command = Command::new(claviger);
    command.args(["-c", "demo/claviger.toml", "serve", "--listen", "127.0.0.1:0"]);
    let served = Served::start({
        command.current_dir(&folder);
        command
    });
    let script = block.replace("localhost:8443", &format!("localhost:{}", served.port()));
    let done = Command::new("sh")
        .args(["-ec", &script.replace("curl ", "curl --silent --show-error --write-out '\\n' ")])
        .current_dir(&folder)
        .envs([("API_KEY", key), ("TOKEN", token.trim())])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
    let lines: Vec<&str> = told.lines().collect();
    let made = |line: &&str| line.contains(r#""alias":"es256-1""#);
    assert!(lines.len() == 2 && lines.iter().all(made), "{told}");
    assert!(lines[1].starts_with(r#"{"results":[{"token":"#), "{told}");
}

/// The commands of the README that renew the certificate of the server and make one of a caller.
#[test]
fn the_readmes_openssl_renews_the_server_and_lets_a_caller_in() {
    let block = commands_of_readme("Running the service");
    let folder = tempfile::tempdir().unwrap();
    let claviger = env!("CARGO_BIN_EXE_claviger");
    run(claviger, &["init", "demo"], folder.path());
    let demo = folder.path().join("demo");
    let pem = |name: &str| std::fs::read(demo.join(format!("tls/{name}.pem"))).unwrap();
    let before = pem("server");
    run("sh", &["-ec", &block], folder.path());
    assert_ne!(pem("server"), before);
    let verify = ["verify", "-x509_strict", "-CAfile", "tls/ca.pem", "-purpose"];
    for (purpose, leaf) in [("sslserver", "tls/server.pem"), ("sslclient", "tls/portal.pem")] {
        run("openssl", &[&verify[..], &[purpose, leaf]].concat(), &demo);
    }
    let callers = "\n[[callers]]\nname = \"by-name\"\ncertificate = { subject = \"CN=portal\" }\n\
                   [[grants]]\ncallers = [\"by-name\"]\nrights = [\"read\"]\nlabels = [\"*\"]\n";
    let config = std::fs::read_to_string(demo.join("claviger.toml")).unwrap() + callers;
    std::fs::write(demo.join("claviger.toml"), config).unwrap();
    let checked = run(claviger, &["check"], &demo);
    assert!(checked.contains("0 errors, 0 warnings"), "{checked}");
    let mut command = Command::new(claviger);
    command.args(["serve", "--listen", "127.0.0.1:0"]).current_dir(&demo);
    let served = Served::start(command);
    let url = format!("https://localhost:{}/v1/labels", served.port());
    let portal = ["--cert", "tls/portal.pem", "--key", "tls/portal.key"];
    let ask = ["--silent", "--cacert", "tls/ca.pem", &url];
    let told = run("curl", &[&ask[..], &portal[..]].concat(), &demo);
    assert!(told.starts_with(r#"{"labels":[{"#), "{told}");
    let metrics = format!("https://localhost:{}/metrics", served.port());
    let admin = ["--cert", "tls/admin.pem", "--key", "tls/admin.key", "--cacert", "tls/ca.pem"];
    let figures = run("curl", &[&["--silent", &metrics], &admin[..]].concat(), &demo);
    assert!(
        figures.contains("claviger_server_certificate_not_after_timestamp_seconds 1"),
        "{figures}"
    );
}
