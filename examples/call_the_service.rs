//! The service in a program of yours, and a client that proves itself with a certificate and never sees a key.
//!
//! `cargo run --example call_the_service`

#![expect(clippy::print_stdout, clippy::indexing_slicing, reason = "an example")]

use claviger::client::{Client, StepOptions};
use claviger::clock::Clock;
use claviger::service::{Limits, Listener, Service, Tls, serve};
use claviger::{Keyring, starter};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

const LABEL: &str = "am.services.oauth2.oidc.signing.ES256";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    starter::create(folder.path(), Clock::system().now())?;
    let keyring = Keyring::open(&folder.path().join("claviger.toml"))?;

    // `claviger serve` does this and more: signals, systemd, audit lines.
    let tls = Tls::new(&keyring, &keyring.config().service)?;
    let runtime = Runtime::new()?;
    let socket = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
    let port = socket.local_addr()?.port();
    let service = Service::new(keyring, Clock::system(), Limits::default());
    let listener = {
        let _inside = runtime.enter();
        Listener::tcp(socket, tls.server.clone())
    };
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = runtime.spawn(serve(service, listener, async { drop(stopped.await) }));

    let read = |name: &str| std::fs::read(folder.path().join("tls").join(name));
    let client = Client::builder(&format!("https://localhost:{port}"))
        .roots_pem(&read("ca.pem")?)?
        .certificate_pem(&read("admin.pem")?, &read("admin.key")?)?
        .build()?;
    let label = client.label(LABEL)?;
    let made = label.sign(br#"{"sub":"alice"}"#)?;
    let verified = label.verify(&made.token)?;
    println!("made by {}, verified by {}", made.alias, verified.alias);
    assert_eq!(verified.payload, br#"{"sub":"alice"}"#);
    let told =
        label.promote("es256-2", &StepOptions { dry_run: true, ..StepOptions::default() })?;
    println!("{}", serde_json::to_string_pretty(&told.plan["consequences"])?);

    drop(stop);
    runtime.block_on(serving)?;
    Ok(())
}
