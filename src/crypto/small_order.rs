//! Points of small order: public keys under which almost anything verifies.

use num_bigint::BigUint;

/// The y coordinates of the eight points whose order divides 8 on edwards25519, without the sign bit:
/// 0, 1, p−1 and the two of order 8 (RFC 8032 §5.1; the same values in other encodings are y + p).
const ORDER_8: [&str; 2] = [
    "7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd83d3d706a17c7",
    "05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826",
];

/// Whether an encoded Ed25519 public key is of small order or not canonical (y ≥ p).
pub(in crate::crypto) fn is_small_order_ed25519(encoded: &[u8]) -> bool {
    let mut y = encoded.to_vec();
    if let Some(last) = y.last_mut() {
        *last &= 0x7f;
    }
    let y = BigUint::from_bytes_le(&y);
    let prime = (BigUint::from(1_u8) << 255) - 19_u8;
    y >= prime
        || y <= BigUint::from(1_u8)
        || y == &prime - 1_u8
        || ORDER_8.iter().any(|text| BigUint::parse_bytes(text.as_bytes(), 16).as_ref() == Some(&y))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_neutral_element_is_refused_and_the_base_point_is_not() {
        let mut neutral = [0; 32];
        neutral[0] = 1;
        assert!(is_small_order_ed25519(&neutral));
        let mut base = [0x66; 32];
        base[0] = 0x58;
        assert!(!is_small_order_ed25519(&base));
    }
}
