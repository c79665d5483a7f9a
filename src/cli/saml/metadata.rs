//! `saml metadata`: ours written from the labels of now, a peer's read.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use claviger::clock::{from_unix, rfc3339};
use claviger::error::{Error, ErrorKind, Result};
use claviger::profiles::saml::metadata::{
    Endpoint, KeyDescriptorOptions, MetadataOptions, PeerMetadata, PeerRole, PublishedEncryption,
    missing_service,
};
use claviger::profiles::saml::{self, Expect, SamlEntity, SamlUse};
use claviger::rotation::{EncryptTo, Rotation};
use claviger::xmlsec::dsig::{SignOptions, SigningMethod};
use claviger::xmlsec::{PeerKey, PeerKeys, Trust, XmlLimits};
use serde_json::{Value, json};

use super::input::of_metadata;
use super::parties::{Allowed, Provider};
use super::verify::with_reason;
use crate::cli::files::Files;
use crate::cli::output::{escape, table};
use crate::cli::password_input::read_input;
use crate::cli::rotate::duration;
use crate::cli::{Context, Outcome};

/// Arguments.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Show the keys, roles and preferences in a peer's metadata
    Read(ReadArgs),
    /// Write the metadata of a hosted provider from its labels
    Write(WriteArgs),
}

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "cacheDuration is policy.jwks_max_age and never outlives the next planned step; validUntil is the first moment at which \
    a schedule lets a key act that the document does not show, or takes away a key that it tells peers to encrypt to.\n\
    Examples:\n  claviger saml metadata write --role sp --entity-id https://sp.example --endpoint AssertionConsumerService=HTTP-POST@https://sp.example/acs --sign --out metadata.xml\n  \
    claviger saml metadata write --role idp --entity-id https://idp.example --endpoint SingleSignOnService=HTTP-Redirect@https://idp.example/sso --valid-for 14d"
)]
struct WriteArgs {
    #[command(flatten)]
    provider: Provider,
    /// The entity ID
    #[arg(long, value_name = "URI")]
    entity_id: String,
    /// An endpoint, as SERVICE=BINDING@URL; may be repeated
    #[arg(long, value_name = "ENDPOINT")]
    endpoint: Vec<String>,
    /// Publish every valid encryption certificate, not the active one alone. As publish = "all" of the label does, which
    /// the gate of a retirement knows of
    #[arg(long)]
    all_encryption: bool,
    /// What peers may encrypt with; may be repeated [default: rsa-oaep-mgf1p, aes256-gcm, aes128-gcm, or what the label lists instead]
    #[arg(long, value_name = "NAME")]
    encryption_method: Vec<String>,
    /// How long peers may use it at most, as 14d [default: as long as the schedules say, else without end]
    #[arg(long, value_name = "TIME")]
    valid_for: Option<String>,
    /// Sign it with am.services.saml2.metadata.signing.RSA
    #[arg(long)]
    sign: bool,
    #[command(flatten)]
    files: OutFile,
}

/// `--out` alone.
#[derive(Debug, clap::Args)]
struct OutFile {
    /// Write to this new file, mode 0600, instead of stdout
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  claviger saml metadata read --in metadata.xml\n  \
    claviger saml metadata read --entity https://sp.example --in metadata.xml --json")]
struct ReadArgs {
    /// Which entity [default: the only one]
    #[arg(long, value_name = "ID")]
    entity: Option<String>,
    /// The certificates of which one must have signed it, PEM or DER
    #[arg(long, value_name = "FILE")]
    signed_by: Option<PathBuf>,
    #[command(flatten)]
    allowed: Allowed,
    #[command(flatten)]
    files: Files,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    match &args.command {
        Command::Read(args) => read(context, args),
        Command::Write(args) => write(context, args),
    }
}

fn write(context: &Context, args: &WriteArgs) -> Result<Outcome> {
    let (_, entity) = args.provider.entity(context)?;
    let (cache, valid_until) = times(context, args, &entity)?;
    let endpoints: Vec<Endpoint<'_>> =
        args.endpoint.iter().map(|text| endpoint(text)).collect::<Result<_>>()?;
    let methods: Vec<&str> = args.encryption_method.iter().map(String::as_str).collect();
    let encryption = if args.all_encryption {
        PublishedEncryption::AllValid
    } else {
        PublishedEncryption::ActiveOnly
    };
    let options = MetadataOptions {
        entity_id: &args.entity_id,
        valid_until,
        cache_duration: Some(cache),
        endpoints: &endpoints,
        keys: KeyDescriptorOptions { encryption, encryption_methods: &methods },
    };
    let mut xml = entity.metadata(&options)?;
    let mut notes = vec![match valid_until {
        Some(until) => format!("valid until {}, kept for {}s", rfc3339(until), cache.as_secs()),
        None => format!("valid without end, kept for {}s", cache.as_secs()),
    }];
    notes.extend(missing_service(entity.scope().role, &endpoints).map(|service| {
        format!("it has no {service}, and peers that go by the schema refuse it: add --endpoint {service}=BINDING@URL")
    }));
    let mut signer = None;
    if args.sign {
        let signed = entity.sign_metadata(xml.as_bytes(), &SignOptions::default())?;
        notes.push(format!(
            "signed with alias \"{}\" ({})",
            signed.alias,
            signed.algorithm.xml_name().unwrap_or_default()
        ));
        (xml, signer) = (signed.xml, Some(signed.alias));
    }
    let json = json!({ "xml": xml, "alias": signer, "valid_until": valid_until.map(rfc3339),
        "cache_seconds": cache.as_secs() });
    let files = Files::writing(args.files.out.clone());
    Ok(files.answer(json, &["xml"], format!("{xml}\n").into_bytes())?.with_notes(notes))
}

/// What the schedules say, and no longer than the operator wants.
fn times(
    context: &Context,
    args: &WriteArgs,
    entity: &SamlEntity,
) -> Result<(Duration, Option<SystemTime>)> {
    let wanted = args.valid_for.as_deref().map(duration).transpose()?;
    if wanted.is_some_and(|span| span.is_zero()) {
        return Err(Error::new(ErrorKind::Usage, "--valid-for is at least one second")
            .with_help("leave it out for as long as the schedules let it"));
    }
    let wanted = wanted.map(|span| context.clock.now() + span);
    let signing = entity.keys(SamlUse::Signing)?;
    let mtls = entity.keys_if_mapped(SamlUse::Mtls)?;
    let encryption = entity.keys_if_mapped(SamlUse::Encryption)?;
    let shown: Vec<_> = std::iter::once(&*signing).chain(mtls.as_deref()).collect();
    let rotation = Rotation::preview(&context.config, context.clock.clone())?;
    let realm = entity.scope().realm.as_ref();
    let to = if args.all_encryption { EncryptTo::All } else { EncryptTo::Active };
    let encrypt = encryption.as_deref().map(to);
    let validity = rotation.validity_until(&shown, encrypt, realm, wanted)?;
    Ok((validity.cache, validity.until))
}

/// `AssertionConsumerService=HTTP-POST@https://sp.example/acs`.
fn endpoint(text: &str) -> Result<Endpoint<'_>> {
    let parts =
        text.split_once('=').and_then(|(service, rest)| Some((service, rest.split_once('@')?)));
    match parts {
        Some((service, (binding, location))) if location.contains(':') => {
            Ok(Endpoint { service, binding, location })
        }
        _ => Err(Error::new(
            ErrorKind::Usage,
            format!("\"{}\" is no endpoint", text.escape_debug()),
        )
        .with_help(
            "SERVICE=BINDING@URL: AssertionConsumerService=HTTP-POST@https://sp.example/acs",
        )),
    }
}

fn read(context: &Context, args: &ReadArgs) -> Result<Outcome> {
    let file = args.files.read()?;
    // EXPOSE: metadata are public.
    let bytes = file.expose_secret();
    let limits = XmlLimits::METADATA;
    let mut notes = Vec::new();
    let parsed = |bytes| {
        let read = PeerMetadata::read(bytes, args.entity.as_deref(), &limits);
        read.map_err(|error| of_metadata(bytes, error))
    };
    let (metadata, signed) = match &args.signed_by {
        None => (parsed(bytes)?, false),
        Some(path) => {
            let certificates = read_input(path, 1 << 20)?;
            // EXPOSE: certificates are public.
            let keys = PeerKeys::from_file(certificates.expose_secret())
                .map_err(|error| error.with_file(path))?;
            let policy = args.allowed.policy()?;
            let trust = Trust::Certificates(&keys);
            let found = saml::verify(bytes, Expect::Message, trust, &policy, &limits)
                .map_err(|error| with_reason(context, of_metadata(bytes, error)))?;
            let octets = found.first().map(|one| one.octets.as_slice()).unwrap_or_default();
            (parsed(octets)?, true)
        }
    };
    if !signed {
        notes.push("nobody's signature was checked: --signed-by FILE does".to_owned());
    }
    let now = context.clock.now();
    let expired = metadata.is_expired(now);
    if expired {
        notes.push("it has ended: fetch it again".to_owned());
    }
    let has_ended = metadata.roles.iter().any(|role| role.is_expired(now));
    for role in &metadata.roles {
        let mut said = Vec::new();
        if !role.speaks_saml2() {
            said.push("it is not for SAML 2.0, and not used".to_owned());
        }
        if role.is_expired(now) && !expired {
            said.push("it has ended: fetch it again".to_owned());
        }
        said.extend(role.unusable.iter().map(|why| format!("a key is left out: {why}")));
        said.extend(role.encryption_methods().into_iter().filter(|one| !one.is_known).map(|one| {
            format!(
                "nothing is encrypted with {}: its digest or mask is not known",
                last(&one.algorithm)
            )
        }));
        notes.extend(said.iter().map(|text| escape(&format!("{}: {text}", role.descriptor))));
    }
    let json = json!({
        "entity_id": metadata.entity_id,
        "valid_until": metadata.valid_until.map(rfc3339),
        "cache_seconds": metadata.cache_duration.map(|span| span.as_secs()),
        "expired": expired,
        "signature_verified": signed,
        "roles": metadata.roles.iter().map(|role| role_json(role, now)).collect::<Vec<_>>(),
    });
    let text = text_of(&metadata);
    Ok(args
        .files
        .answer(json, &["roles"], text.into_bytes())?
        .with_notes(notes)
        .with_exit(u8::from(expired || has_ended)))
}

fn role_json(role: &PeerRole, now: SystemTime) -> Value {
    let key = |key: &PeerKey| {
        let facts = key.facts().ok().flatten();
        json!({
            "sha256": key.sha256(),
            "key": key.key().kind().to_string(),
            "subject": facts.as_ref().map(|facts| facts.subject.clone()),
            "not_after": facts.and_then(|facts| end_of(facts.not_after)),
        })
    };
    let methods = role.encryption_methods().into_iter().map(|method| {
        json!({ "algorithm": method.algorithm, "digest": method.digest.map(claviger::alg::Hash::name),
            "mgf": method.mgf.map(claviger::alg::Hash::name) })
    });
    let signing = role.signing_methods.iter().map(|method| {
        json!({ "algorithm": method.algorithm, "min_bits": method.min_bits, "max_bits": method.max_bits })
    });
    json!({
        "role": role.descriptor,
        "protocols": role.protocols,
        "valid_until": role.valid_until.map(rfc3339),
        "expired": role.is_expired(now),
        "signing": role.signing.iter().map(key).collect::<Vec<_>>(),
        "encryption": role.encryption.iter().map(|one| key(&one.key)).collect::<Vec<_>>(),
        "encryption_methods": methods.collect::<Vec<_>>(),
        "signing_methods": signing.collect::<Vec<_>>(),
        "digest_methods": role.digest_methods,
        "wants_signed": role.wants_signed,
        "unusable": role.unusable,
    })
}

fn end_of(seconds: i64) -> Option<String> {
    let seconds = u64::try_from(seconds).ok()?;
    Some(rfc3339(from_unix(seconds)))
}

fn text_of(metadata: &PeerMetadata) -> String {
    let mut text = format!("{}\n", escape(&metadata.entity_id));
    let mut rows = Vec::new();
    for role in &metadata.roles {
        let signing = role.signing.iter().map(|key| ("signing", key));
        let encryption = role.encryption.iter().map(|one| ("encryption", &one.key));
        for (usage, key) in signing.chain(encryption) {
            let facts = key.facts().ok().flatten();
            rows.push(vec![
                role.descriptor.clone(),
                usage.to_owned(),
                key.key().kind().to_string(),
                facts.as_ref().map(|facts| facts.subject.clone()).unwrap_or_default(),
                facts.and_then(|facts| end_of(facts.not_after)).unwrap_or_default(),
                key.sha256().to_owned(),
            ]);
        }
    }
    text.push_str(&table(&["ROLE", "USE", "KEY", "SUBJECT", "ENDS", "SHA-256"], &rows));
    for role in &metadata.roles {
        let methods =
            role.encryption_methods().into_iter().map(|one| last(&one.algorithm).to_owned());
        let lines = [
            ("encrypt with", methods.collect::<Vec<_>>()),
            ("sign with", role.signing_methods.iter().map(sizes).collect()),
            ("digest with", role.digest_methods.iter().map(|uri| last(uri).to_owned()).collect()),
        ];
        for (what, names) in lines.iter().filter(|(_, names)| !names.is_empty()) {
            text.push_str(&escape(&format!("{}: {what} {}\n", role.descriptor, names.join(" "))));
        }
        if role.wants_signed {
            text.push_str(&escape(&format!("{}: wants what it gets signed\n", role.descriptor)));
        }
    }
    text
}

/// A signature algorithm, and the sizes of the keys.
fn sizes(method: &SigningMethod) -> String {
    let name = last(&method.algorithm);
    match (method.min_bits, method.max_bits) {
        (None, None) => name.to_owned(),
        (Some(least), None) => format!("{name} (from {least} bits)"),
        (None, Some(most)) => format!("{name} (to {most} bits)"),
        (Some(least), Some(most)) => format!("{name} ({least} to {most} bits)"),
    }
}

/// What stands behind `#` of a URI.
fn last(uri: &str) -> &str {
    uri.rsplit_once('#').map_or(uri, |(_, name)| name)
}
