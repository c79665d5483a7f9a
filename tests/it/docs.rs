//! What the documents say, held against the program.

use std::path::{Path, PathBuf};
use std::process::Command;

use claviger::alg::{ALGORITHMS, Status};

use crate::support::examples;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap()
}

#[test]
fn the_readme_names_every_algorithm_with_its_status() {
    let readme = read("README.md");
    let section = readme.split("## Algorithms").nth(1).unwrap().split("\n## ").next().unwrap();
    let (on, off): (Vec<&str>, Vec<&str>) = section
        .lines()
        .filter(|line| line.starts_with("| "))
        .partition(|line| line.contains("| on |"));
    for row in ALGORITHMS {
        // The table writes the ECDH-ES variants short.
        let name =
            row.name.strip_prefix("ECDH-ES").filter(|rest| !rest.is_empty()).unwrap_or(row.name);
        let lines = if row.status == Status::On { &on } else { &off };
        let named = lines
            .iter()
            .any(|line| line.split([' ', ',', '|']).any(|word| word == name || word == row.name));
        assert!(named, "{row} is not in the README where {:?} rows are", row.status);
    }
}

#[test]
fn every_command_has_help_with_an_example() {
    let program = env!("CARGO_BIN_EXE_claviger");
    let help = Command::new(program).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let commands = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    for name in commands.lines().filter_map(|line| line.split_whitespace().next()) {
        if name == "help" {
            continue;
        }
        let shown = Command::new(program).args([name, "--help"]).output().unwrap();
        let text = String::from_utf8(shown.stdout).unwrap();
        assert!(
            text.contains("Example") && text.contains(&format!("claviger {name}")),
            "{name}: {text}"
        );
    }
}

#[test]
fn the_fixtures_hold_what_the_manifest_says() {
    let mut found = Vec::new();
    let mut files: Vec<PathBuf> = std::fs::read_dir(root().join("keystores"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let extension = path.extension().and_then(|text| text.to_str());
            extension.is_some_and(|text| ["p12", "jks", "jceks", "pem"].contains(&text))
        })
        .collect();
    files.sort();
    for file in files {
        found.extend(inspect(&file));
    }
    let manifest = read("keystores/MANIFEST.tsv");
    let mut expected: Vec<String> =
        manifest.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect();
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
}

fn inspect(file: &Path) -> Vec<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_claviger"))
        .args(["inspect", "--json", "--store-password-file"])
        .arg(root().join("keystores/storepass.txt"))
        .arg(file)
        .output()
        .unwrap();
    let facts: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let name = file.file_name().unwrap().to_str().unwrap();
    facts["entries"]
        .as_array()
        .unwrap_or_else(|| panic!("{facts}"))
        .iter()
        .map(|entry| {
            let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
            let (alias, kind, algorithm) = (text("alias"), text("kind"), text("algorithm"));
            format!("{name}\t{alias}\t{kind}\t{algorithm}\t{}", entry["bits"])
        })
        .collect()
}

#[test]
fn examples_run() {
    // Built with the tests; each ends in an assertion of its own.
    let folder = Path::new(env!("CARGO_BIN_EXE_claviger")).parent().unwrap().join("examples");
    for name in [
        "call_the_service",
        "from_java_keystore",
        "openid_connect",
        "rotate",
        "saml_login",
        "session",
        "sign_and_verify",
    ] {
        let output = Command::new(folder.join(name)).current_dir(root()).output().unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// The part of the README under a heading.
fn section(name: &str) -> String {
    let readme = read("README.md");
    let (_, rest) =
        readme.split_once(&format!("\n## {name}\n")).unwrap_or_else(|| panic!("no {name}"));
    rest.split("\n## ").next().unwrap().to_owned()
}

/// The blocks of a language in a text.
fn blocks<'t>(text: &'t str, language: &str) -> Vec<&'t str> {
    let opening = format!("```{language}\n");
    text.split(&opening).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

pub(crate) fn shell(command: &str, folder: &Path) -> std::process::Output {
    let programs = Path::new(env!("CARGO_BIN_EXE_claviger")).parent().unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    Command::new("sh")
        .args(["-c", command])
        .current_dir(folder)
        .env("PATH", path)
        .env_remove("CLAVIGER_CONFIG")
        .output()
        .unwrap()
}

/// Whether a line is what the README shows of it: `…` stands for what is another each time.
fn is_shown(expected: &str, shown: &str) -> bool {
    let mut parts = expected.split('…');
    let Some(mut rest) = shown.strip_prefix(parts.next().unwrap()) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[test]
fn the_commands_of_the_readme_answer_as_it_shows() {
    let folder = tempfile::tempdir().unwrap();
    let mut exports = String::new();
    let mut count = 0;
    for name in [
        "Demo",
        "Sessions",
        "Token profiles",
        "Drills",
        "Rotating a key, step by step",
        "A key has leaked, now what",
        "Schedules",
        "OAuth 2.0 and OpenID Connect",
        "TLS",
        "SAML",
    ] {
        let text = section(name);
        for step in blocks(&text, "console").join("").split("$ ").skip(1) {
            let (command, expected) = step.split_once('\n').unwrap();
            if command.starts_with("export ") {
                exports = format!("{command}\n");
                continue;
            }
            let output = shell(&format!("{exports}exec 2>&1\n{command}"), folder.path());
            let shown = String::from_utf8(output.stdout).unwrap();
            let pairs = shown.lines().zip(expected.lines());
            let same = shown.lines().count() == expected.lines().count()
                && pairs.into_iter().all(|(shown, expected)| is_shown(expected, shown));
            assert!(
                output.status.success() && same,
                "$ {command}\n{shown}\ninstead of\n{expected}"
            );
            count += 1;
        }
    }
    assert!(count >= 12, "{count}");
    // The ten lines of the demo are those that `init` writes.
    let starter = claviger::starter::config();
    for line in blocks(&section("Demo"), "toml")[0].lines() {
        assert!(starter.contains(line), "{line}");
    }
}

#[test]
fn the_configuration_of_the_readme_passes_check_with_its_keys() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["keystores", "secrets"] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
    }
    let made = shell("umask 077; printf fixture-password > secrets/storepass", folder.path());
    assert!(made.status.success());
    for (alias, kind) in [
        ("es256-2026-11", "ec"),
        ("es256-2026-05", "ec"),
        ("hmac-b", "hmac"),
        ("hmac-a", "hmac"),
        ("aes-1", "aes"),
    ] {
        let made = shell(
            &format!(
                "claviger generate {alias} --type {kind} --store keystores/default.p12 --store-password-file secrets/storepass"
            ),
            folder.path(),
        );
        assert!(made.status.success(), "{made:?}");
    }
    let files = "mkdir tls && claviger generate server --type ec --out tls/server.pem \
        && cp tls/server.pem tls/server.key && cp tls/server.pem tls/ca.pem";
    assert!(shell(files, folder.path()).status.success());
    let text = section("Configuration");
    std::fs::write(folder.path().join("claviger.toml"), blocks(&text, "toml")[0]).unwrap();
    let checked = shell("claviger check", folder.path());
    let shown = String::from_utf8(checked.stdout).unwrap();
    assert_eq!(shown, "claviger.toml: 0 errors, 0 warnings\n");
    let sealed = shell(
        "echo x | claviger encrypt --label app.session.seal | claviger decrypt --label app.session.seal",
        folder.path(),
    );
    assert_eq!(sealed.stdout, b"x\n");
}

#[test]
fn the_readme_has_every_label_in_its_section_and_at_its_home() {
    let text = section("Labels");
    for spec in claviger::catalogue::all() {
        let start = format!("| {} | {} |", spec.section, spec.home.name());
        let row = text.lines().find(|line| line.starts_with(&start));
        let row = row.unwrap_or_else(|| panic!("no row {start}"));
        let mark = if spec.deprecated { " †" } else { "" };
        let wanted = format!("`{}`{mark}", spec.name);
        assert!(row.split(['|', '<', '>']).any(|cell| cell.trim() == wanted), "{wanted}");
    }
}

#[test]
fn the_readme_shows_the_help_as_it_is() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_claviger"));
    command.arg("--help").env_remove("COLUMNS").env_remove("CLAVIGER_CONFIG");
    let help = String::from_utf8(command.output().unwrap().stdout).unwrap();
    let trimmed = |text: &str| text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
    let text = section("Commands");
    assert_eq!(trimmed(blocks(&text, "text")[0]).trim(), trimmed(&help).trim());
}

/// In an order in which each finds what the ones before it made.
const COMMANDS: [&str; 30] = [
    "init",
    "check",
    "encode",
    "decode",
    "encrypt",
    "decrypt",
    "explain",
    "sign",
    "verify",
    "reorder",
    "generate",
    "stage",
    "promote",
    "retire",
    "undo",
    "revoke",
    "history",
    "export",
    "inspect",
    "import",
    "delete",
    "session",
    "token",
    "jwks",
    "labels",
    "status",
    "drill",
    "rotate",
    "man",
    "completions",
];

#[test]
fn the_examples_of_every_help_work_as_they_stand() {
    let folder = tempfile::tempdir().unwrap();
    let prepare = "claviger init . && printf '[trace]\nrecord = true\n[rotation.\"am.services.oauth2.oidc.signing.ES256\"]\nperiod = \"90d\"\nalias = \"es256-{date}\"\n' >> claviger.toml && cp claviger.toml next.toml && umask 077 && printf changeit | tee .storepass > .keypass \
        && printf seal > seal.key && echo '{}' > session.json && echo files > release.tar \
        && echo '{\"aud\":\"api\"}' | claviger sign --label am.services.oauth2.oidc.signing.ES256 --out token.txt";
    // Both sides of remote consent, and a persistent cookie of a node.
    let profiles = "set -e; umask 077; claviger() { command claviger -q \"$@\" > /dev/null; }
        new() { claviger generate \"$1\" --type \"$2\" --stage \"$3\" --store default-keystore; }
        new pc-1 hmac am.authentication.nodes.persistentcookie.node1.signing
        new pc-2 rsa am.authentication.nodes.persistentcookie.encryption
        new rc-1 ec am.applications.agents.remote.consent.request.signing.ES256
        new rc-2 rsa am.services.oauth2.remote.consent.response.decryption
        new rc-3 rsa am.services.oauth2.remote.consent.response.signing.RSA
        command claviger jwks am.services.oauth2.remote.consent.response.decryption > op.jwks
        for one in rc-2 rc-3; do claviger export $one --store keystores/default.p12 --store-password-file secrets/storepass --format jwk --out $one.jwk; done
        printf '{\"keys\":[%s,%s]}' \"$(cat rc-2.jwk)\" \"$(cat rc-3.jwk)\" > service.jwks
        echo '{\"iss\":\"https://op.example\",\"aud\":\"rcs\",\"csrf\":\"c\",\"consentApprovalRedirectUri\":\"https://op.example/consent\"}' > request.json
        echo '{\"iss\":\"rcs\",\"aud\":\"https://op.example\",\"csrf\":\"c\",\"decision\":\"allow\"}' \
            | claviger token seal --profile consent-response --peer op.jwks --out response.jwt
        cp claviger.toml next.toml";
    let made = shell(prepare, folder.path());
    assert!(made.status.success(), "{made:?}");
    let made = shell(profiles, folder.path());
    assert!(made.status.success(), "{made:?}");
    std::fs::copy(root().join("keystores/legacy.jceks"), folder.path().join("keystore.jceks"))
        .unwrap();
    let mut seen = std::collections::HashSet::new();
    for name in COMMANDS {
        let mut help = Command::new(env!("CARGO_BIN_EXE_claviger"));
        let help = help.args([name, "--help"]).env_remove("COLUMNS").output().unwrap();
        for example in examples(&String::from_utf8(help.stdout).unwrap()) {
            // The two of `encode` are those of `decode`.
            if !seen.insert(example.clone()) {
                continue;
            }
            let command = format!("export PW=\"$(cat secrets/storepass)\"\n{example}");
            let output = shell(&command, folder.path());
            assert!(
                output.status.success(),
                "{example}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
    }
    assert!(seen.len() >= 30, "{}", seen.len());
}

/// The manifest has a configuration in it, and the unit leaves files for as many connections as there may be.
#[test]
fn the_files_for_deployment_agree_with_the_configuration() {
    let manifest = read("deploy/kubernetes.yaml");
    let text = manifest.split("claviger.toml: |\n").nth(1).unwrap().split("\n---").next().unwrap();
    let lines = text.lines().map(|line| line.strip_prefix("    ").unwrap_or(line));
    let text = lines.collect::<Vec<_>>().join("\n");
    let config = claviger::Config::from_text(&text, Path::new("claviger.toml")).unwrap();
    assert!(config.service.certificate.is_some() && config.service.audit.is_some());
    let unit = read("deploy/claviger.service");
    let files = unit.lines().find_map(|line| line.strip_prefix("LimitNOFILE=")).unwrap();
    let needed = config.service.limits.max_connections + 256;
    assert!(files.parse::<usize>().unwrap() >= needed, "{files} files, {needed} connections");
    // Mounted by itself a file of a ConfigMap never changes.
    assert!(!manifest.contains("subPath:"));
    let argument = manifest.split("args: [\"-c\", \"").nth(1).unwrap().split('"').next().unwrap();
    let folder = argument.strip_suffix("/claviger.toml").unwrap();
    assert!(manifest.contains(&format!("{{ name: config, mountPath: {folder}, readOnly: true }}")));
    // What systemd opens for the service is not to go with its runtime directory.
    let socket = read("deploy/claviger.socket");
    let paths = socket.lines().filter_map(|line| line.split_once("ListenStream=/"));
    let own = unit.lines().find_map(|line| line.strip_prefix("RuntimeDirectory=")).unwrap();
    for (_, path) in paths {
        assert!(!path.starts_with(&format!("run/{own}/")), "{path}");
    }
}
