//! Signing and verifying with josekit, which runs on OpenSSL.

use josekit::jws::{
    ES256, ES384, EdDSA, HS256, JwsHeader, JwsSigner, JwsVerifier, PS256, RS256,
    deserialize_compact, serialize_compact,
};

/// One key of one algorithm.
pub struct Peer {
    signer: Box<dyn JwsSigner>,
    verifier: Box<dyn JwsVerifier>,
    header: JwsHeader,
}

impl Peer {
    /// A key; `private` and `public` are PEM, of HMAC keys nobody asks.
    #[must_use]
    pub fn new(name: &str, raw: &[u8], private: &str, public: &str) -> Self {
        let (signer, verifier) = keys(name, raw, private, public);
        let mut header = JwsHeader::new();
        header.set_key_id("k0");
        Self { signer, verifier, header }
    }

    /// A compact token.
    #[must_use]
    pub fn sign(&self, payload: &[u8]) -> String {
        serialize_compact(payload, &self.header, &*self.signer).expect("signed")
    }

    /// The payload of a token.
    #[must_use]
    pub fn verify(&self, token: &str) -> Vec<u8> {
        deserialize_compact(token, &*self.verifier).expect("verified").0
    }
}

fn keys(
    name: &str,
    raw: &[u8],
    private: &str,
    public: &str,
) -> (Box<dyn JwsSigner>, Box<dyn JwsVerifier>) {
    if name == "HS256" {
        let signer = HS256.signer_from_bytes(raw).expect("a key");
        return (Box::new(signer), Box::new(HS256.verifier_from_bytes(raw).expect("a key")));
    }
    macro_rules! keys {
        ($algorithm:expr) => {
            (
                Box::new($algorithm.signer_from_pem(private).expect("a key")),
                Box::new($algorithm.verifier_from_pem(public).expect("a key")),
            )
        };
    }
    match name {
        "ES256" => keys!(ES256),
        "ES384" => keys!(ES384),
        "EdDSA" => keys!(EdDSA),
        // Its PEM reader insists on keys that are for PSS alone.
        "PS256" => {
            let material = claviger::formats::Material::PrivateKey(
                claviger::secret::SecretBytes::from_slice(raw),
            );
            let entry = claviger::formats::Entry::new("k0", material);
            let jwk = claviger::formats::jwk::write(&entry, false).expect("a JWK");
            let jwk = josekit::jwk::Jwk::from_bytes(jwk.expose_secret()).expect("a JWK");
            (
                Box::new(PS256.signer_from_jwk(&jwk).expect("a key")),
                Box::new(PS256.verifier_from_jwk(&jwk).expect("a key")),
            )
        }
        _ => keys!(RS256),
    }
}
