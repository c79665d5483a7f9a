//! Server certificate and client authorities from labels: new ones count with the next handshake, and what was taken away
//! counts no more, on no connection.

use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use crate::process::{Home, LONG, Over, PLAIN, Served};
use crate::shop::Shop;
use crate::tls_client::{Http2Client, TlsClient};

const SIGN: &str = "/v1/labels/am.services.oauth2.oidc.signing.ES256/sign";
const KEY: &str = "the key of portal";

/// A home whose `tls.p12` has the certificates `s1` and `s2` of `localhost` and the authorities `one` and `two`, which
/// have a client each.
fn home() -> Home {
    let home = Home::new(PLAIN);
    for server in ["s1", "s2"] {
        home.leaf("ca", server, "subjectAltName=DNS:localhost");
        let pair =
            ["pem", "key"].map(|end| fs::read(home.path(&format!("{server}.{end}"))).unwrap());
        fs::write(home.path("pair.pem"), pair.concat()).unwrap();
        import(&home, "pair.pem", server);
    }
    for authority in ["one", "two"] {
        home.authority(authority);
        home.leaf(authority, &format!("client-{authority}"), "extendedKeyUsage=clientAuth");
        import(&home, &format!("{authority}.pem"), authority);
    }
    write(&home, &["s1", "s2"], &["one", "two"]);
    home
}

fn import(home: &Home, file: &str, alias: &str) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_claviger"));
    command.arg("import").arg(home.path(file)).args(["--as", alias, "--store"]);
    command.arg(home.path("tls.p12")).arg("--store-password-file");
    let done = command.arg(home.path("keystores/storepass.txt")).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// The configuration with these aliases behind the two labels.
fn write(home: &Home, servers: &[&str], authorities: &[&str]) {
    let caller = |name: &str| {
        format!(
            "[[callers]]\nname = \"{name}\"\ncertificate = {{ subject = \"CN=client-{name}\" }}\n"
        )
    };
    let text = format!(
        "[keyring]\nreload = \"off\"\n\
         [stores.keys]\nkind = \"keystore\"\npath = \"default.p12\"\n\
         store_password = {{ file = \"storepass.txt\" }}\n\
         [stores.keys.mappings]\n\"am.services.oauth2.oidc.signing.ES256\" = [\"es256-a\", \"es256-b\"]\n\
         [stores.tls]\nkind = \"keystore\"\npath = \"../tls.p12\"\n\
         store_password = {{ file = \"storepass.txt\" }}\n\
         [stores.tls.mappings]\n\"app.https\" = {servers:?}\n\"app.clients\" = {authorities:?}\n\
         [labels.\"app.https\"]\nuse = \"mtls\"\n[labels.\"app.clients\"]\nuse = \"trust\"\n\
         {}{}[[callers]]\nname = \"portal\"\napi_key_sha256 = \"{}\"\n\
         [[grants]]\ncallers = [\"one\", \"two\", \"portal\"]\nrights = [\"sign\"]\nlabels = [\"*\"]\n\
         [service]\nlisten = [\"127.0.0.1:0\"]\ncertificate = {{ label = \"app.https\" }}\n\
         client_ca = {{ label = \"app.clients\" }}\n",
        caller("one"),
        caller("two"),
        Shop::hash(KEY),
    );
    fs::write(home.config(), text).unwrap();
}

/// Takes a configuration that changes the label.
fn reload(served: &mut Served, label: &str) {
    served.signal("HUP");
    served.wait_for(&format!("label \"{label}\": "));
}

fn claims() -> Value {
    json!({"claims": {}})
}

#[test]
fn the_server_certificate_changes_with_the_order_and_no_connection_notices() {
    let home = home();
    let mut served = home.serve();
    let connect = |served: &Served| TlsClient::connect(&home, served, Some("client-one")).unwrap();
    let mut kept = connect(&served);
    assert_eq!(kept.server(), "s1");
    let (over, turns) = (Over::default(), AtomicU64::new(0));
    let (address, port) = (served.address(), served.port());
    std::thread::scope(|scope| {
        let load_ends = over.once_dropped();
        // New connections all the time, and one that stays.
        let load = |_| {
            scope.spawn(|| {
                let mut kept = TlsClient::at(&home, address, Some("client-two")).unwrap();
                while !over.is_so() {
                    let mut fresh = TlsClient::at(&home, address, Some("client-one")).unwrap();
                    for client in [&mut kept, &mut fresh] {
                        assert_eq!(client.post(SIGN, None, &claims()).unwrap().status, 200);
                    }
                    turns.fetch_add(1, Ordering::Relaxed);
                }
            })
        };
        let clients = [0, 1].map(load);
        for round in 0..10 {
            let order = if round % 2 == 0 { ["s2", "s1"] } else { ["s1", "s2"] };
            let before = turns.load(Ordering::Relaxed);
            write(&home, &order, &["one", "two"]);
            reload(&mut served, "app.https");
            assert_eq!(connect(&served).server(), order[0]);
            assert_eq!(kept.post(SIGN, None, &claims()).unwrap().status, 200);
            let until = std::time::Instant::now() + LONG;
            while turns.load(Ordering::Relaxed) < before + 4 && std::time::Instant::now() < until {
                std::thread::yield_now();
            }
        }
        drop(load_ends);
        clients.into_iter().for_each(|client| client.join().unwrap());
    });
    assert!(turns.load(Ordering::Relaxed) >= 40);
    // curl sees it as well.
    let url = format!("https://localhost:{port}/healthz");
    write(&home, &["s2"], &["one", "two"]);
    reload(&mut served, "app.https");
    assert_eq!(home.curl(&[&url]), "ok\n");
    assert!(home.handshake(&served, &[]).contains("CN = s2"));
}

#[test]
fn clients_of_an_authority_that_is_taken_away_are_refused_on_every_connection() {
    let home = home();
    let mut served = home.serve();
    let connect = |served: &Served, name: &str| {
        TlsClient::connect(&home, served, Some(&format!("client-{name}"))).unwrap()
    };
    let (mut one, mut two) = (connect(&served, "one"), connect(&served, "two"));
    let mut bearer = connect(&served, "two");
    let mut none = TlsClient::connect(&home, &served, None).unwrap();
    let curl = |served: &Served, name: &str| {
        let [pem, key] = ["pem", "key"].map(|end| format!("client-{name}.{end}"));
        let url = format!("https://localhost:{}{SIGN}", served.port());
        home.curl(&["--cert", &pem, "--key", &key, "--json", "{\"claims\":{}}", &url])
    };
    let http2 = |served: &Served, name: &str| {
        Http2Client::connect(&home, served, Some(&format!("client-{name}"))).unwrap()
    };
    let (mut one_by_2, mut two_by_2) = (http2(&served, "one"), http2(&served, "two"));
    for client in [&mut one, &mut two] {
        assert_eq!(client.post(SIGN, None, &claims()).unwrap().status, 200);
    }
    for client in [&mut one_by_2, &mut two_by_2] {
        assert_eq!(client.post(SIGN, &claims()).unwrap()["alias"], json!("es256-a"));
    }
    assert_eq!(none.post(SIGN, Some(KEY), &claims()).unwrap().status, 200);
    write(&home, &["s1"], &["one"]);
    reload(&mut served, "app.clients");
    // New handshakes.
    assert!(curl(&served, "one").contains("es256-a"));
    assert_eq!(curl(&served, "two"), "");
    // Connections of before: told once, and closed; an API key beside the certificate makes no difference.
    let refused = two.post(SIGN, None, &claims()).unwrap();
    assert_eq!((refused.status, &refused.body["code"]), (401, &json!("unauthenticated")));
    assert!(refused.head.contains("connection: close"), "{}", refused.head);
    assert!(two.is_closed());
    assert_eq!(bearer.post(SIGN, Some(KEY), &claims()).unwrap().status, 401);
    assert!(bearer.is_closed());
    assert_eq!(two_by_2.post(SIGN, &claims()).unwrap()["code"], json!("unauthenticated"));
    assert!(two_by_2.is_closed());
    for _ in 0..3 {
        assert_eq!(one_by_2.post(SIGN, &claims()).unwrap()["alias"], json!("es256-a"));
        assert_eq!(one.post(SIGN, None, &claims()).unwrap().status, 200);
    }
    assert_eq!(none.post(SIGN, Some(KEY), &claims()).unwrap().status, 200);
    // It comes back, and so do its clients; the other goes.
    write(&home, &["s1"], &["two"]);
    reload(&mut served, "app.clients");
    assert!(curl(&served, "two").contains("es256-a"));
    assert_eq!(one.post(SIGN, None, &claims()).unwrap().status, 401);
}

#[test]
fn a_file_of_authorities_is_followed_by_open_connections_too() {
    let home = Home::new(crate::process::BOTH);
    home.authority("two");
    home.leaf("two", "client-two", "extendedKeyUsage=clientAuth");
    let authorities = ["ca.pem", "two.pem"].map(|file| fs::read(home.path(file)).unwrap());
    fs::write(home.path("ca.pem.both"), authorities.concat()).unwrap();
    let both = crate::process::BOTH.replace("ca.pem", "ca.pem.both");
    home.configure(&both);
    let mut served = home.serve();
    let mut two = TlsClient::connect(&home, &served, Some("client-two")).unwrap();
    let mut one = TlsClient::connect(&home, &served, Some("client")).unwrap();
    for client in [&mut one, &mut two] {
        assert_eq!(client.post(SIGN, None, &claims()).unwrap().status, 200);
    }
    fs::copy(home.path("ca.pem"), home.path("ca.pem.both")).unwrap();
    served.signal("HUP");
    served.wait_for("client_ca was read again");
    assert_eq!(two.post(SIGN, None, &claims()).unwrap().status, 401);
    assert_eq!(one.post(SIGN, None, &claims()).unwrap().status, 200);
}
