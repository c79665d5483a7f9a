//! The arrows between modules: data flows one way, and nobody names what is above.

use std::path::{Path, PathBuf};

/// What each module may name with `crate::`. Besides its own folder.
const MAY_NAME: &[(&str, &[&str])] = &[
    ("problem", &[]),
    ("error", &["problem"]),
    ("secret", &[]),
    ("clock", &[]),
    ("parallel", &[]),
    ("blocks", &[]),
    ("recent", &[]),
    ("encoding", &[]),
    ("alg", &["error"]),
    ("atomic", &["error"]),
    ("json", &["error", "blocks"]),
    ("label", &["error"]),
    ("access", &["error", "secret", "alg", "label", "crypto"]),
    ("usage", &["error", "atomic", "blocks", "clock", "label"]),
    ("trace", &["error", "atomic", "clock", "label"]),
    ("catalogue", &["error", "alg", "label"]),
    ("crypto", &["error", "secret", "alg"]),
    ("journal", &["error", "clock", "label", "crypto", "atomic"]),
    ("formats", &["error", "secret", "parallel", "crypto", "json", "alg"]),
    ("stores", &["error", "secret", "parallel", "label", "catalogue", "crypto", "formats"]),
    (
        "config",
        &["error", "clock", "problem", "label", "access", "alg", "catalogue", "stores", "formats"],
    ),
    (
        "keyring",
        &[
            "error",
            "problem",
            "secret",
            "clock",
            "parallel",
            "alg",
            "label",
            "catalogue",
            "crypto",
            "formats",
            "journal",
            "stores",
            "config",
            "usage",
            "trace",
        ],
    ),
    ("ops", &["error", "alg", "label", "catalogue", "crypto", "keyring", "usage"]),
    (
        "jose",
        &["error", "secret", "encoding", "recent", "json", "alg", "catalogue", "crypto", "ops"],
    ),
    ("xmlsec", &["error", "secret", "blocks", "encoding", "alg", "crypto", "ops"]),
    (
        "profiles",
        &[
            "error",
            "atomic",
            "secret",
            "clock",
            "json",
            "alg",
            "label",
            "catalogue",
            "crypto",
            "config",
            "keyring",
            "ops",
            "jose",
            "xmlsec",
            "tls",
        ],
    ),
    ("published", &["error", "label", "keyring", "profiles", "rotation"]),
    ("cache_control", &[]),
    ("remote", &["error", "cache_control", "clock", "jose", "ops"]),
    ("tls", &["error", "secret", "clock", "alg", "catalogue", "crypto", "formats", "ops"]),
    ("key_tools", &["error", "secret", "clock", "alg", "crypto", "formats", "atomic"]),
    (
        "rotation",
        &[
            "error",
            "problem",
            "secret",
            "clock",
            "alg",
            "label",
            "catalogue",
            "crypto",
            "atomic",
            "journal",
            "formats",
            "jose",
            "usage",
            "stores",
            "config",
            "keyring",
            "key_tools",
        ],
    ),
    (
        "drill",
        &[
            "error",
            "secret",
            "clock",
            "parallel",
            "alg",
            "label",
            "catalogue",
            "crypto",
            "formats",
            "stores",
            "config",
            "keyring",
            "profiles",
            "ops",
            "jose",
            "xmlsec",
            "trace",
            "usage",
        ],
    ),
    ("starter", &["error", "secret", "crypto", "key_tools"]),
    (
        "service",
        &[
            "error",
            "encoding",
            "recent",
            "problem",
            "atomic",
            "secret",
            "clock",
            "json",
            "alg",
            "label",
            "access",
            "catalogue",
            "crypto",
            "config",
            "keyring",
            "ops",
            "jose",
            "xmlsec",
            "profiles",
            "published",
            "remote",
            "tls",
            "journal",
            "usage",
            "rotation",
            "drill",
        ],
    ),
    ("client", &["error", "cache_control", "secret", "label", "crypto", "jose"]),
    ("cli", &[]),
    ("hardening", &[]),
    ("main", &["cli", "hardening"]),
];

/// Modules that only `crypto` and `formats` may use: a cryptography crate named elsewhere is a leak.
const CRYPTO_CRATES: [&str; 10] = [
    "ring::",
    "aws_lc_rs::",
    "openssl::",
    "aes::",
    "des::",
    "rc2::",
    "rc4::",
    "p12_keystore::",
    "pkcs8::",
    "x509_parser::",
];
/// `secret.rs` compares in constant time with aws-lc-rs.
const MAY_USE_CRYPTO: [&str; 3] = ["crypto", "formats", "secret"];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|text| text == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn modules_name_only_what_is_below_them() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let mut failures = Vec::new();
    for file in &files {
        let relative = file.strip_prefix(&root).unwrap();
        let module = relative.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs");
        if module == "lib" {
            continue;
        }
        let Some((_, allowed)) = MAY_NAME.iter().find(|(name, _)| *name == module) else {
            failures.push(format!("{module} has no row"));
            continue;
        };
        let text = std::fs::read_to_string(file).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
            for part in line.split("crate::").skip(1) {
                let next: String =
                    part.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
                if next != module && !allowed.contains(&next.as_str()) {
                    failures.push(format!("{}: names {next}: {}", relative.display(), line.trim()));
                }
            }
            let leaks = CRYPTO_CRATES.iter().any(|name| {
                line.contains(&format!("use {name}")) || line.contains(&format!(" {name}"))
            });
            if leaks && !MAY_USE_CRYPTO.contains(&module) {
                failures.push(format!(
                    "{}: uses a cryptography crate: {}",
                    relative.display(),
                    line.trim()
                ));
            }
        }
    }
    assert!(files.len() > 50 && failures.is_empty(), "{}", failures.join("\n"));
}
