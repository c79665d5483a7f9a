//! Tests that take minutes: `cargo test --test slow`. They are not part of `cargo test`.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "tests")]

use std::collections::HashMap;
use std::process::Command;

/// One minute of signing and verifying while three kinds of store rotate every 200 ms. The program holds
/// each answer against what is mapped and its memory against its beginning; its history is checked here.
#[test]
fn a_minute_of_rotation_loses_nothing() {
    let output = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--example", "soak", "--", "60"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let summary = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{summary}");
    println!("{summary}");
    let mut last: HashMap<String, u64> = HashMap::new();
    let mut kids: HashMap<(u64, String), String> = HashMap::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let seen: serde_json::Value = serde_json::from_str(line).unwrap();
        let text = |name: &str| seen.get(name).and_then(|one| one.as_str()).unwrap().to_owned();
        let generation = seen.get("generation").and_then(serde_json::Value::as_u64).unwrap();
        let before = last.insert(text("reader"), generation).unwrap_or(0);
        assert!(before <= generation, "a reader went back: {line}");
        let kid = kids.entry((generation, text("label"))).or_insert_with(|| text("kid"));
        assert_eq!(*kid, text("kid"), "two active kids in one generation: {line}");
    }
    let generations = kids.keys().map(|(generation, _)| *generation).max().expect("a history");
    assert!(last.len() > 1 && generations > 100, "{generations} generations");
}
