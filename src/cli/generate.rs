//! `generate`: a new key, in a keystore, as the next one of a label, or in a file of its own.

use std::path::PathBuf;

use claviger::error::Result;
use claviger::key_tools::{self, GenerateOptions};
use claviger::rotation::{NextKey, Overrides, Request, Step};
use claviger::secret::SecretString;

use super::password_input::{StorePassword, read_existing};
use super::step::{self, WhoArgs};
use super::{Context, Outcome};

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  claviger generate es256-2026 --type ec --store keys.p12 --store-password-file secrets/storepass\n  \
    claviger generate rs --type rsa --bits 3072 --subject 'CN=signing,O=Example' --store keys.p12 --store-password-env PW\n  \
    claviger generate wrap --type aes --bits 256 --out wrap.jwk --format jwk\n  \
    claviger generate es256-2027 --stage am.services.oauth2.oidc.signing.ES256 --dry-run\n  \
    claviger generate es256-2027 --stage am.services.oauth2.oidc.signing.ES256"
)]
#[command(group = clap::ArgGroup::new("target").required(true).multiple(true).args(["store", "out", "stage"]))]
pub(crate) struct Args {
    /// The alias of the new entry
    alias: String,
    /// rsa, ec, ed25519, ed448, x25519, x448, aes, hmac or password
    #[arg(long = "type", value_name = "TYPE", required_unless_present = "stage")]
    key_type: Option<String>,
    /// The size of an RSA or symmetric key [default: rsa 3072, aes 256, hmac 512, password 256]
    #[arg(long)]
    bits: Option<usize>,
    /// The curve of an EC key: P-256, P-384, P-521 or secp256k1 [default: P-256]
    #[arg(long)]
    curve: Option<String>,
    /// The subject of the self-signed certificate [default: CN=ALIAS]
    #[arg(long, value_name = "NAME")]
    subject: Option<String>,
    /// How many days the certificate is valid
    #[arg(long, default_value_t = 825, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: u32,
    /// The keystore: PKCS#12, made if it is not there, or a PEM or JWK file; with --stage the name of the store,
    /// where several map the label, or none does yet
    #[arg(long, value_name = "FILE|NAME")]
    store: Option<PathBuf>,
    /// Make the next key of this label, in the label's own store, and stage it; as the active key is, where
    /// nothing else is said
    #[arg(long, value_name = "LABEL", conflicts_with_all = ["store_password_file", "store_password_env"])]
    stage: Option<String>,
    /// With --stage: show what would change, with a key that is thrown away; change nothing
    #[arg(long, requires = "stage")]
    dry_run: bool,
    /// With --stage: let the key act before everybody knows it, where it is the first of a mapping
    #[arg(long, requires = "stage")]
    now: bool,
    /// With --stage: go past every gate
    #[arg(long, requires = "stage")]
    force: bool,
    /// A new file for this key alone, unencrypted, mode 0600
    #[arg(long, value_name = "FILE", conflicts_with_all = ["store", "stage"])]
    out: Option<PathBuf>,
    /// The format of --out: pem, jwk or der; base64 or plain for symmetric keys and passwords
    #[arg(long, default_value = "pem", conflicts_with = "store")]
    format: String,
    #[command(flatten)]
    password: StorePassword,
    #[command(flatten)]
    who: WhoArgs,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    if let Some(label) = &args.stage {
        return stage(context, args, label);
    }
    let options = GenerateOptions {
        alias: &args.alias,
        key_type: args.key_type.as_deref().unwrap_or_default(),
        bits: args.bits,
        curve: args.curve.as_deref(),
        subject: args.subject.as_deref(),
        days: args.days,
        now: context.clock.now(),
    };
    if let Some(store) = &args.store {
        let _lock = key_tools::lock_folder(store)?;
        let existing = read_existing(store, key_tools::MAX_FILE_BYTES)?;
        let password = match &existing {
            Some(text) if key_tools::is_text_keystore(text) => {
                args.password.read()?.unwrap_or_else(|| SecretString::from_string(String::new()))
            }
            _ => args.password.require()?,
        };
        let change = key_tools::generate_into(existing.as_ref(), &password, &options)
            .map_err(|error| error.with_file(store))?;
        if existing.is_some() {
            key_tools::replace_file(store, &change.content)?;
        } else {
            key_tools::create_file(store, &change.content)?;
        }
        return Outcome::of_change(&change, "generated");
    }
    let change = key_tools::generate_file(&args.format, &options)?;
    if let Some(out) = &args.out {
        key_tools::create_file(out, &change.content)?;
    }
    Outcome::of_change(&change, "generated")
}

/// The next key of a label, made and staged in one step.
fn stage(context: &Context, args: &Args, label: &str) -> Result<Outcome> {
    let alias = args.alias.parse()?;
    let mut request = Request::new(Step::Stage { alias }, label)?;
    request.realm = context.realm.as_deref().map(str::parse).transpose()?;
    request.store = args.store.as_ref().map(|name| name.to_string_lossy().parse()).transpose()?;
    request.reason.clone_from(&args.who.reason);
    request.overrides = Overrides { now: args.now, force: args.force };
    let next = NextKey {
        key_type: args.key_type.as_deref(),
        bits: args.bits,
        curve: args.curve.as_deref(),
        subject: args.subject.as_deref(),
        days: args.days,
    };
    if args.dry_run {
        return step::preview(context, &request, Some(&next));
    }
    step::apply(context, &args.who, &request, Some(&next))
}
