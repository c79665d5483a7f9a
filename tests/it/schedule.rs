//! Schedules: what is due is done through the gates, once, whatever the runs and clocks do; the time ahead.

use std::path::Path;
use std::time::{Duration, SystemTime};

use claviger::clock::{rfc3339, to_unix};
use claviger::journal::{Action, Actor, Event, Record};
use claviger::rotation::{Request, Rotation, Run, RunOutcome, Scheduled, Step, announce};
use serde_json::Value;

use crate::workshop::{ES256, Workshop};

pub(crate) const DAY: u64 = 86_400;
const HOUR: u64 = 3_600;

/// A PKCS#12 keystore that can be written, with one key behind the label, and a schedule.
pub(crate) fn shop(schedule: &str) -> Workshop {
    let shop = Workshop::new();
    std::fs::write(shop.path().join("storepass"), "changeit").unwrap();
    let made = shop.run(&[
        "generate",
        "first",
        "--type",
        "ec",
        "--store",
        "keys.p12",
        "--store-password-file",
        "storepass",
    ]);
    assert!(made.status.success(), "{made:?}");
    let text = format!(
        "[keyring]\nstate_dir = \"state\"\n\n[stores.keys]\nkind = \"keystore\"\npath = \"keys.p12\"\n\
         store_password = {{ file = \"storepass\" }}\n\n[stores.keys.mappings]\n\"{ES256}\" = [\n    # the first\n    \
         \"first\",\n]\n\n[labels.\"{ES256}\"]\nmax_token_lifetime = \"2h\"\n\n[rotation.\"{ES256}\"]\n{schedule}"
    );
    std::fs::write(shop.config(), text).unwrap();
    shop
}

pub(crate) const MONTHLY: &str = "period = \"30d\"\nalias = \"es256-{date}\"\n";

pub(crate) fn due(shop: &Workshop) -> Vec<Run> {
    shop.rotation().run_due().unwrap()
}

fn told(runs: &[Run]) -> Vec<(Action, String, RunOutcome)> {
    runs.iter().map(|run| (run.step.action, run.step.alias.to_string(), run.outcome)).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn steps(shop: &Workshop) -> usize {
    shop.history().records.iter().filter(|one| one.event == Event::Done).count()
}

#[test]
fn a_year_of_runs_is_what_the_plan_said_and_no_token_breaks() {
    let shop = shop(MONTHLY);
    assert!(due(&shop).is_empty(), "nothing is due on the first day");
    let end = shop.now() + Duration::from_secs(365 * DAY);
    let ahead = |shop: &Workshop| -> Vec<Scheduled> { shop.rotation().ahead(end) };
    let plan = ahead(&shop);
    let keyring = shop.keyring();
    let label = keyring.label(ES256).unwrap();
    let mut done: Vec<(Action, SystemTime)> = Vec::new();
    while let Some(next) = ahead(&shop).into_iter().find(|step| step.time().unwrap() > shop.now()) {
        // A token of the last moment before the run, which comes up to an hour late.
        let time = next.time().unwrap();
        shop.wait(time.duration_since(shop.now()).unwrap().as_secs() - 1);
        assert!(due(&shop).is_empty(), "a second too early");
        let token = label.sign(b"x").unwrap();
        let late = (u64::try_from(done.len()).unwrap() * 997) % 3_600;
        shop.wait(1 + late);
        let runs = due(&shop);
        assert_eq!(told(&runs), [(next.action, next.alias.to_string(), RunOutcome::Done)]);
        done.push((next.action, shop.now()));
        keyring.reload().unwrap();
        let _ = label.verify(&token).unwrap();
        let _ = label.verify(&label.sign(b"x").unwrap()).unwrap();
        assert!(due(&shop).is_empty(), "twice");
    }
    assert!((33..=36).contains(&done.len()) && plan.len() == 36, "{done:?}");
    for (number, (step, (action, time))) in (1..).zip(plan.iter().zip(&done)) {
        assert_eq!(step.action, *action);
        let late = time.duration_since(step.time().unwrap()).unwrap();
        assert!(late.as_secs() <= number * HOUR, "{step:?} at {}", rfc3339(*time));
    }
    let history = shop.history();
    assert_eq!(history.broken, None);
    assert!(history.records.iter().all(|one| one.event != Event::Refused), "waiting is no refusal");
    assert!(shop.text().contains("# the first") && shop.aliases(ES256).len() <= 3);
}

#[test]
fn a_missed_run_is_made_up_for_once_in_a_safe_order_and_gates_hold() {
    let shop = shop(MONTHLY);
    due(&shop);
    shop.wait(400 * DAY);
    let runs = due(&shop);
    let alias = runs[0].step.alias.to_string();
    assert_eq!(
        told(&runs),
        [
            (Action::Stage, alias.clone(), RunOutcome::Done),
            (Action::Promote, alias.clone(), RunOutcome::Waiting)
        ]
    );
    assert!(runs[1].reason.as_ref().unwrap().contains("everybody knows it at"), "{runs:?}");
    assert!(alias.starts_with("es256-20"), "{alias}");
    assert_eq!(shop.aliases(ES256), ["first", &alias]);
    // Again, and again: nothing new.
    for _ in 0..3 {
        let again = due(&shop);
        assert_eq!(told(&again), [(Action::Promote, alias.clone(), RunOutcome::Waiting)]);
    }
    assert_eq!(steps(&shop), 1);
    shop.wait(3_720);
    assert_eq!(told(&due(&shop)), [(Action::Promote, alias.clone(), RunOutcome::Done)]);
    assert!(due(&shop).is_empty(), "thirteen missed rotations are one");
    shop.wait(2 * HOUR + 60);
    assert_eq!(told(&due(&shop)), [(Action::Retire, "first".to_owned(), RunOutcome::Done)]);
    assert_eq!(shop.aliases(ES256), [alias.as_str()]);
    assert!(due(&shop).is_empty());
}

#[test]
fn the_time_ahead_says_when_a_key_that_acted_may_go_and_that_nobody_knows() {
    let shop = shop(MONTHLY);
    due(&shop);
    shop.wait(30 * DAY);
    due(&shop);
    shop.wait(4_000);
    let keyring = shop.keyring();
    let exp = shop.now() + Duration::from_secs(90 * DAY);
    let payload = format!("{{\"exp\":{}}}", to_unix(exp));
    keyring.label(ES256).unwrap().sign(payload.as_bytes()).unwrap();
    drop(keyring);
    assert_eq!(told(&due(&shop)).last().unwrap().2, RunOutcome::Done);
    let leaves = |shop: &Workshop, days: u64| {
        let rotation = Rotation::preview(&shop.config(), shop.clock()).unwrap();
        let end = shop.now() + Duration::from_secs(days * DAY);
        let steps = rotation.ahead_by_gates(end);
        let first = steps.into_iter().find(|step| step.alias.as_str() == "first");
        first.map(|step| (step.action, step.at, step.waits.unwrap_or_default()))
    };
    // What it signed lives for ninety days and a minute of skew.
    let at = rfc3339(exp + Duration::from_secs(60));
    let (action, known, why) = leaves(&shop, 365).unwrap();
    assert_eq!((action, known), (Action::Retire, Some(at)));
    assert!(why.contains("may live until"), "{why}");
    assert_eq!(leaves(&shop, 89), None);
    shop.edit("max_token_lifetime = \"2h\"", "");
    shop.edit("period =", "overlap = \"1h\"\nperiod =");
    let (_, never, why) = leaves(&shop, 365).unwrap();
    assert_eq!(never, None);
    assert!(why.contains("nobody knows") || why.contains("not provable"), "{why}");
}

#[test]
fn clocks_that_jump_fire_nothing_twice() {
    let shop = shop(MONTHLY);
    due(&shop);
    // A day ahead of its time and back: one key is staged, and stays the only one.
    shop.wait(31 * DAY);
    assert_eq!(due(&shop).len(), 2);
    shop.back(31 * DAY);
    for _ in 0..3 {
        assert!(due(&shop).is_empty());
    }
    shop.wait(30 * DAY);
    let runs = due(&shop);
    assert!(runs.iter().all(|run| run.step.action != Action::Stage), "{runs:?}");
    shop.wait(2 * DAY);
    assert_eq!(told(&due(&shop)).len(), 1);
    // It acts now; back again by a year nothing moves.
    assert_eq!(shop.aliases(ES256).len(), 2);
    shop.back(365 * DAY);
    assert!(due(&shop).is_empty());
    assert_eq!(steps(&shop), 2);
}

#[test]
fn commands_at_once_do_each_step_once() {
    let shop = shop("period = \"90d\"\nalias = \"es256-{date}\"\npropagation = \"80d\"\n");
    assert!(shop.run(&["rotate", "--due"]).status.success());
    // The schedule becomes due by its own words: the journal stays.
    shop.edit("period = \"90d\"", "period = \"7140s\"");
    shop.edit("propagation = \"80d\"", "propagation = \"7139s\"");
    // A second after the alias began to act the next key is due.
    std::thread::sleep(Duration::from_secs(2));
    let mut running: Vec<_> = (0..6)
        .map(|_| {
            let mut command = shop.command(&["rotate", "--due", "--json"]);
            command.stdout(std::process::Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let done: usize = running
        .drain(..)
        .map(|process| {
            let output = process.wait_with_output().unwrap();
            assert!(output.status.success(), "{output:?}");
            let found: Value = serde_json::from_slice(&output.stdout).unwrap();
            let runs = found["runs"].as_array().unwrap();
            runs.iter().filter(|run| run["outcome"] == "done").count()
        })
        .sum();
    assert_eq!((done, steps(&shop)), (1, 1));
    assert_eq!(shop.aliases(ES256).len(), 2);
}

#[test]
fn the_program_says_what_it_did_and_what_comes_next() {
    let shop = shop(MONTHLY);
    let run = |arguments: &[&str]| {
        let output = shop.run(arguments);
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    };
    let (code, said, _) = run(&["rotate", "--due"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.starts_with("nothing is due\nnext: generate es256-"), "{said}");
    assert!(said.contains(&format!(" --stage {ES256}, at 20")), "{said}");
    let (code, said, words) = run(&["rotate", "--due", "--dry-run"]);
    assert!(
        code == 0 && said.starts_with("AT") && words.contains("nothing was changed"),
        "{said}{words}"
    );
    let (_, plan, _) = run(&["rotate", "--plan", "365d"]);
    let lines: Vec<&str> = plan.lines().collect();
    assert!(lines[0].starts_with("AT") && lines.len() > 34, "{plan}");
    let (_, default, _) = run(&["rotate", "--plan"]);
    assert_eq!(default.lines().count(), lines.len());
    let (_, found, _) = run(&["rotate", "--plan", "70d", "--json"]);
    let found: Value = serde_json::from_str(&found).unwrap();
    let actions: Vec<&str> = found["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["action"].as_str().unwrap())
        .collect();
    assert_eq!(actions, ["stage", "promote", "retire", "stage", "promote", "retire"]);
    for (arguments, help) in [
        (&["rotate"][..], "--due"),
        (&["rotate", "--plan", "soon"], "365d"),
        (&["rotate", "--plan", "99999999d"], "365d"),
    ] {
        let (code, _, words) = run(arguments);
        assert!(code == 2 && words.contains(help), "{words}");
    }
    shop.edit(&format!("[rotation.\"{ES256}\"]\n{MONTHLY}"), "");
    let (code, _, words) = run(&["rotate", "--due"]);
    assert!(code == 2 && words.contains("[rotation.\"LABEL\"]"), "{words}");
}

#[test]
fn schedules_are_checked_with_the_rest_of_the_configuration() {
    for (schedule, code, help) in [
        ("alias = \"a-{date}\"\n", "missing_key", "period"),
        ("period = \"30d\"\n", "missing_key", "alias"),
        ("period = \"30d\"\nalias = \"always\"\n", "bad_alias_pattern", "{date}"),
        ("period = \"30\"\nalias = \"a-{date}\"\n", "bad_duration", "30s"),
        ("period = \"30m\"\nalias = \"a-{date}\"\n", "period_too_short", "1 h"),
        ("period = \"30d\"\nalias = \"a-{date}\"\ntype = \"ecc\"\n", "unknown_value", "ec"),
        (
            "period = \"30d\"\nalias = \"a-{date}\"\ntype = \"rsa\"\ncurve = \"P-256\"\n",
            "curve_without_ec",
            "curve",
        ),
        ("period = \"30d\"\nalias = \"a-{date}\"\nperoid = \"1d\"\n", "unknown_key", "period"),
        ("period = \"30d\"\nalias = \"a-{date}\"\nrealm = \"alpha\"\n", "unmapped_label", "map it"),
        (
            "period = \"30d\"\nalias = \"a-{date}\"\n[rotation.\"app.other\"]\nperiod = \"30d\"\nalias = \"b-{date}\"\n",
            "unmapped_label",
            "map it",
        ),
    ] {
        let shop = shop(schedule);
        let output = shop.run(&["check", "--json"]);
        let found = text(&output.stdout);
        assert!(
            found.contains(&format!("\"{code}\"")) && found.contains(help),
            "{schedule}: {found}"
        );
        assert_eq!(output.status.code(), Some(1), "{schedule}: {found}");
    }
    let shop = shop(MONTHLY);
    shop.edit("state_dir = \"state\"\n", "");
    let found = text(&shop.run(&["check", "--json"]).stdout);
    assert!(found.contains("schedule_without_state_dir"), "{found}");
    let salt = "am.services.oauth2.provider.hash.salt.secret";
    let shop = self::shop(&format!(
        "{MONTHLY}[rotation.\"{salt}\"]\nperiod = \"30d\"\nalias = \"s-{{date}}\"\n"
    ));
    let found = text(&shop.run(&["check", "--json"]).stdout);
    assert!(found.contains("must_not_rotate"), "{found}");
    for of_others in ["use = \"verify\"\nalgorithms = [\"ES256\"]", "use = \"trust\""] {
        let shop = self::shop(&format!(
            "{MONTHLY}[labels.\"app.peer\"]\n{of_others}\n\
             [rotation.\"app.peer\"]\nperiod = \"30d\"\nalias = \"p-{{date}}\"\n"
        ));
        shop.edit("[stores.keys.mappings]\n", "[stores.keys.mappings]\n\"app.peer\" = [\"c\"]\n");
        let found = text(&shop.run(&["check", "--json"]).stdout);
        assert!(found.contains("keys_of_others"), "{found}");
    }
}

#[test]
fn what_cannot_be_made_fails_and_keeps_the_others() {
    let shop = shop(MONTHLY);
    let text = shop.text().replace(
        "[stores.keys]\n",
        "[stores.java]\nkind = \"keystore\"\npath = \"java.jceks\"\nstore_password = { file = \"pw\" }\n[stores.java.mappings]\n\
         \"app.java\" = [\"es256\"]\n\n[stores.keys]\n",
    );
    let more = "[labels.\"app.java\"]\nuse = \"sign\"\nalgorithms = [\"ES256\"]\n[rotation.\"app.java\"]\nperiod = \"30d\"\n\
                alias = \"j-{date}\"\n";
    std::fs::write(shop.config(), text + more).unwrap();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("keystores");
    std::fs::copy(fixtures.join("legacy.jceks"), shop.path().join("java.jceks")).unwrap();
    std::fs::copy(fixtures.join("storepass.txt"), shop.path().join("pw")).unwrap();
    due(&shop);
    shop.wait(31 * DAY);
    let before = std::fs::read(shop.path().join("java.jceks")).unwrap();
    let runs = due(&shop);
    let of =
        |label: &str| runs.iter().find(|run| run.step.mapping.label.as_str() == label).unwrap();
    assert_eq!(of(ES256).outcome, RunOutcome::Done);
    assert_eq!(of("app.java").outcome, RunOutcome::Failed, "{runs:?}");
    assert_eq!(std::fs::read(shop.path().join("java.jceks")).unwrap(), before);
    let output = shop.command(&["rotate", "--due"]).output().unwrap();
    // The system's clock is before all this: nothing is due.
    assert!(output.status.success());
}

#[test]
fn key_sets_are_cached_no_longer_than_until_the_next_step() {
    let shop = shop(MONTHLY);
    due(&shop);
    let label = ES256.parse().unwrap();
    let next = || shop.rotation().next_step(&label, None);
    let config = shop.keyring().config();
    let age = || announce::max_age(&config.policy, shop.now(), next()).as_secs();
    let staging = next().unwrap();
    // The key is staged ahead of its time by caches, reload and skew.
    let acts = shop.now() + Duration::from_secs(30 * DAY);
    assert_eq!(acts.duration_since(staging).unwrap().as_secs(), DAY + 3_720);
    assert_eq!(age(), 3_600);
    shop.wait(29 * DAY - 3_720 - 100);
    assert_eq!(age(), 100);
    shop.wait(100);
    due(&shop);
    assert_eq!(age(), 3_600);
    shop.wait(3_700);
    assert_eq!(age(), 20);
}

#[test]
fn volumes_rotate_by_versions() {
    let shop = Workshop::new();
    let folder = shop.path().join("secrets");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("app.cookie.v1"), "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")
        .unwrap();
    let text = "[keyring]\nstate_dir = \"state\"\n[stores.secrets]\nkind = \"volume\"\ndirectory = \"secrets\"\n\
                format = \"base64\"\nversion_suffix = \".v\"\npermissions = \"ignore\"\n[labels.\"app.cookie\"]\nuse = \"mac\"\n\
                algorithms = [\"HS256\"]\nmax_token_lifetime = \"1h\"\n[rotation.\"app.cookie\"]\nperiod = \"7d\"\n\
                alias = \"cookie-{date}\"\ntype = \"hmac\"\nbits = 256\n";
    std::fs::write(shop.config(), text).unwrap();
    due(&shop);
    let old = shop.keyring().label("app.cookie").unwrap().sign(b"x").unwrap();
    let mut actions = Vec::new();
    for _ in 0..8 * 6 {
        shop.wait(4 * HOUR);
        for run in due(&shop) {
            assert_ne!(run.outcome, RunOutcome::Failed, "{run:?}");
            if run.outcome == RunOutcome::Done {
                actions.push(run.step.action);
            }
        }
        if actions.len() < 3 {
            let _ = shop.keyring().label("app.cookie").unwrap().verify(&old).unwrap();
        }
    }
    assert_eq!(actions, [Action::Stage, Action::Promote, Action::Retire]);
    assert!(shop.keyring().label("app.cookie").unwrap().verify(&old).is_err());
}

#[test]
fn the_time_ahead_of_a_short_period_is_told_at_once() {
    let shop = shop(
        "period = \"2m\"\npropagation = \"30s\"\noverlap = \"30s\"\nalias = \"es256-{month}\"\n",
    );
    shop.edit("[keyring]\n", "[policy]\npropagation = \"30s\"\n[keyring]\n");
    due(&shop);
    let rotation = shop.rotation();
    let ahead = rotation.ahead(shop.now() + Duration::from_secs(DAY));
    // 720 rotations of three steps, each under a name of its own.
    assert!(ahead.len() > 2_000, "{}", ahead.len());
    let mut staged: Vec<&str> = ahead
        .iter()
        .filter(|step| step.action == Action::Stage)
        .map(|step| step.alias.as_str())
        .collect();
    let all = staged.len();
    staged.sort_unstable();
    staged.dedup();
    assert_eq!(staged.len(), all);
    let first =
        ahead.iter().find(|step| step.time().is_some_and(|time| time > shop.now())).unwrap();
    let next = rotation.next_ahead().unwrap();
    assert_eq!(
        (next.action, next.alias.as_str(), next.time()),
        (first.action, first.alias.as_str(), first.time())
    );
}

/// As [`shop`], with a store that opens at once.
fn quick(schedule: &str) -> Workshop {
    let shop = Workshop::new();
    shop.configure("propagation = \"30s\"\n", &format!("[rotation.\"{ES256}\"]\n{schedule}"));
    shop
}

#[test]
fn a_schedule_makes_as_many_keys_of_one_name_as_it_needs() {
    let shop = quick(
        "period = \"2m\"\npropagation = \"30s\"\noverlap = \"30s\"\nalias = \"es256-{month}\"\n",
    );
    let mut staged = Vec::new();
    for _ in 0..60 {
        for run in due(&shop) {
            assert_ne!(run.outcome, RunOutcome::Failed, "{run:?}");
            if run.step.action == Action::Stage {
                staged.push(shop.aliases(ES256).pop().unwrap());
            }
        }
        if staged.len() == 13 {
            break;
        }
        shop.wait(60);
    }
    let numbered = (2..=13).map(|number| format!("es256-2027-01-{number}"));
    let expected: Vec<String> =
        std::iter::once("es256-2027-01".to_owned()).chain(numbered).collect();
    assert_eq!(staged, expected);
    let refused = shop.history().records.iter().filter(|one| one.event == Event::Refused).count();
    assert_eq!(refused, 0);
}

/// How often something was refused.
fn refusals(shop: &Workshop, what: impl Fn(&Record) -> bool) -> usize {
    let history = shop.history();
    let found =
        history.records.iter().filter(|one| one.event == Event::Refused && what(one)).count();
    assert!(history.broken.is_none());
    found
}

#[test]
fn what_a_schedule_is_refused_again_and_again_is_recorded_once_a_day() {
    // A key that the label does not take, once an hour for thirty hours.
    let shop = quick("period = \"30d\"\ncurve = \"P-384\"\nalias = \"next-{month}\"\n");
    due(&shop);
    shop.wait(31 * DAY);
    // The first run retires what never acted here; after the second one nothing is done to the label any more.
    due(&shop);
    due(&shop);
    let known = refusals(&shop, |one| one.action == Action::Stage);
    for _ in 0..30 {
        let runs = due(&shop);
        assert!(runs.iter().any(|run| run.outcome == RunOutcome::Failed), "{runs:?}");
        shop.wait(HOUR);
    }
    assert_eq!((known, refusals(&shop, |one| one.action == Action::Stage)), (2, 3));

    // A configuration that does not load.
    let open = |request: Option<&Request>| {
        let actor = Actor::of_this_process(None);
        Rotation::open_for(&shop.config(), shop.clock(), actor, request).unwrap_err()
    };
    let whole = |one: &Record| one.action == Action::Schedule;
    let good = shop.text();
    std::fs::write(shop.config(), good.replace("keys.jwks", "gone.jwks")).unwrap();
    for _ in 0..30 {
        open(None);
        shop.wait(HOUR);
    }
    assert_eq!(refusals(&shop, whole), 2);
    // Another reason is news.
    std::fs::write(shop.config(), format!("{good}[rotations]\n[storage]\n")).unwrap();
    open(None);
    open(None);
    assert_eq!(refusals(&shop, whole), 3);
    // What people try is recorded every time.
    let by_hand = Request::new(Step::Promote { alias: "b".parse().unwrap() }, ES256).unwrap();
    open(Some(&by_hand));
    open(Some(&by_hand));
    assert_eq!(refusals(&shop, |one| one.action == Action::Promote), 2);
}
