//! `verify --at`: whether a token was valid at a time in the past, by the journal.

use claviger::catalogue;
use claviger::clock::{parse_rfc3339, rfc3339};
use claviger::error::{Error, ErrorKind, Result};
use claviger::jose::jws::VerifyOptions;
use claviger::rotation::{self, Past, PastAnswer};
use serde_json::json;

use super::claim_args::ClaimArgs;
use super::{Context, Outcome};

pub(crate) fn run(
    context: &Context,
    label: &str,
    (token, options): (&str, &VerifyOptions<'_>),
    at: &str,
    claims: &ClaimArgs,
) -> Result<Outcome> {
    let time = parse_rfc3339(at).ok_or_else(|| {
        Error::new(ErrorKind::Usage, format!("\"{}\" is no time", at.escape_debug()))
            .with_help("write it as 2026-11-20T08:00:00Z")
    })?;
    if token.starts_with('{') {
        return Err(Error::new(ErrorKind::Usage, "--at is for compact tokens"));
    }
    let realm = context.realm.as_deref().map(str::parse).transpose()?;
    let label = catalogue::canonical(&label.parse()?);
    let keyring = context.open()?;
    let answer = rotation::verify_at(&keyring, &label, realm.as_ref(), token, options, time)?;
    let limits = &keyring.config().policy.limits;
    let claims = match &answer.verified {
        Some(verified) if answer.outcome != Past::Never => claims.check(limits, verified, time)?,
        _ => None,
    };
    let shown = |time: Option<std::time::SystemTime>| time.map(rfc3339);
    let key = answer.verified.as_ref().map(|verified| &verified.key);
    let json = json!({
        "outcome": answer.outcome,
        "at": rfc3339(time),
        "verified": matches!(answer.outcome, Past::ValidThen | Past::ValidThenAndNow),
        "alias": key.map(|key| &key.alias),
        "kid": key.map(|key| &key.kid),
        "from": shown(answer.from),
        "until": shown(answer.until),
        "revoked_at": shown(answer.revoked_at),
        "compromised_at": shown(answer.compromised_at),
        "unsure_between": answer.unsure_between.map(|(from, until)| [rfc3339(from), rfc3339(until)]),
        "claims": claims,
    });
    let good = matches!(answer.outcome, Past::ValidThen | Past::ValidThenAndNow);
    let unsure = answer.unsure_between.map_or_else(String::new, |(from, until)| {
        format!(
            "nobody knows for sure: the mapping was changed outside of claviger between {} and {}\n",
            rfc3339(from),
            rfc3339(until)
        )
    });
    let text = format!("{}\n{unsure}", told(&answer));
    Ok(Outcome::new(json, text).with_exit(u8::from(!good)))
}

fn told(answer: &PastAnswer) -> String {
    let alias = answer.verified.as_ref().map(|verified| verified.key.alias.as_str());
    let alias = alias.map_or_else(String::new, |alias| format!(" of alias \"{alias}\""));
    match answer.outcome {
        Past::Never if alias.is_empty() => {
            "never: no key that stood behind the label at that time made it".to_owned()
        }
        Past::Never => {
            let revoked = answer
                .revoked_at
                .map_or_else(String::new, |time| format!("; it was revoked at {}", rfc3339(time)));
            format!("never: the key{alias} did not stand behind the label at that time{revoked}")
        }
        Past::Suspect => match answer.compromised_at {
            Some(since) => format!(
                "suspect: the key{alias} was revoked, and somebody else may have had it since {}",
                rfc3339(since)
            ),
            None => format!(
                "suspect: the key{alias} was revoked, and nobody said since when somebody else had it"
            ),
        },
        Past::ValidThen => format!("valid then: the key{alias} is gone since"),
        Past::ValidThenAndNow => format!("valid then and now: the key{alias} is still tried"),
    }
}
