//! Public keys that stand in KeyInfo without a certificate (XML-DSig 1.1 §4.5.2 and §4.5.10).

use crate::alg::Curve;
use crate::crypto::PublicParameters;
use crate::crypto::material::encode_spki;
use crate::error::{Error, ErrorKind, Result};
use crate::xmlsec::names::{ds, dsig11};
use crate::xmlsec::{
    ElementName, Node, attribute, children_named, decode_base64, full_text, only_child,
};

/// Curves by URI: `urn:oid:` and the object identifier (RFC 5480 §2.1.1.1).
const CURVES: [(&str, Curve); 3] = [
    ("urn:oid:1.2.840.10045.3.1.7", Curve::P256),
    ("urn:oid:1.3.132.0.34", Curve::P384),
    ("urn:oid:1.3.132.0.35", Curve::P521),
];

/// Each key of a KeyInfo as SubjectPublicKeyInfo in DER.
pub(crate) fn public_keys(info: Node<'_, '_>) -> impl Iterator<Item = Result<Vec<u8>>> {
    let encoded = children_named(info, dsig11("DEREncodedKeyValue"));
    let values = children_named(info, ds("KeyValue"));
    encoded.map(octets).chain(values.map(key_value))
}

fn key_value(value: Node<'_, '_>) -> Result<Vec<u8>> {
    let rsa = only_child(value, ds("RSAKeyValue"));
    let ec = only_child(value, dsig11("ECKeyValue"));
    let public = match (rsa, ec) {
        (Some(rsa), None) => {
            PublicParameters::Rsa { n: part(rsa, ds("Modulus"))?, e: part(rsa, ds("Exponent"))? }
        }
        (None, Some(ec)) => {
            let named = only_child(ec, dsig11("NamedCurve")).and_then(|one| attribute(one, "URI"));
            let curve = CURVES.iter().find(|(uri, _)| Some(*uri) == named).map(|(_, curve)| *curve);
            let curve = curve.ok_or_else(|| {
                let text = "the curve of an ECKeyValue is none of P-256, P-384 and P-521 by name";
                Error::new(ErrorKind::Unsupported, text)
            })?;
            point(curve, &part(ec, dsig11("PublicKey"))?)?
        }
        _ => {
            let text = "a KeyValue is neither an RSAKeyValue nor an ECKeyValue";
            return Err(Error::new(ErrorKind::Unsupported, text));
        }
    };
    encode_spki(&public)
}

/// An uncompressed point (SEC 1 §2.3.3).
fn point(curve: Curve, octets: &[u8]) -> Result<PublicParameters> {
    let coordinates = match octets {
        [4, coordinates @ ..] => coordinates.split_at_checked(curve.coordinate_bytes()),
        _ => None,
    };
    match coordinates {
        Some((x, y)) if x.len() == y.len() => {
            Ok(PublicParameters::Ec { curve, x: x.to_vec(), y: y.to_vec() })
        }
        _ => Err(damaged("the point of an ECKeyValue is not written in full")),
    }
}

fn part(parent: Node<'_, '_>, name: ElementName) -> Result<Vec<u8>> {
    let one = only_child(parent, name);
    octets(one.ok_or_else(|| damaged("a KeyValue has not each of its parts once"))?)
}

fn octets(node: Node<'_, '_>) -> Result<Vec<u8>> {
    decode_base64(&full_text(node)).ok_or_else(|| damaged("a public key is not base64"))
}

fn damaged(text: &'static str) -> Error {
    Error::new(ErrorKind::Damaged, text)
}
