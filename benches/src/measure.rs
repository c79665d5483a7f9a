//! The measurements behind the README's section on speed; one file a question.

mod encrypt_decrypt;
mod fixture;
mod harness;
mod hot;
#[cfg(feature = "openssl")]
mod josekit_peer;
mod jwks;
mod many_keys;
mod oidc;
mod primitive;
mod profiles;
mod saml;
mod scaling;
mod sign_verify;
mod xml_attacks;

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("encrypt_decrypt") => encrypt_decrypt::run(),
        Some("hot") => hot::run(),
        Some("jwks") => jwks::run(),
        Some("many_keys") => many_keys::run(),
        Some("oidc") => oidc::run(),
        Some("profiles") => profiles::run(),
        Some("saml") => saml::run(),
        Some("scaling") => scaling::run(),
        Some("xml_attacks") => xml_attacks::run(),
        Some("sign_verify") => sign_verify::run(),
        _ => {
            eprintln!(
                "measure sign_verify | encrypt_decrypt | many_keys | scaling | jwks | oidc | profiles | saml | xml_attacks | hot"
            );
            std::process::exit(2);
        }
    }
}
