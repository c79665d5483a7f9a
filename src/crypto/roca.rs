//! The ROCA fingerprint of weak RSA moduli (CVE-2017-15361): a public test, no factoring.
//!
//! Affected primes are powers of 65537 modulo a product of small primes, so an affected modulus lies in
//! the subgroup that 65537 generates modulo each of them (Nemec et al., CCS 2017, §2.2).

/// Primes modulo which the subgroup of 65537 is small enough to tell.
const PRIMES: [u32; 17] =
    [11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157];

/// Whether the big-endian modulus has the fingerprint.
pub(in crate::crypto) fn is_affected(modulus: &[u8]) -> bool {
    PRIMES.iter().all(|prime| {
        let residue = modulus.iter().fold(0, |rest, byte| (rest * 256 + u32::from(*byte)) % prime);
        in_subgroup(residue, *prime)
    })
}

fn in_subgroup(residue: u32, prime: u32) -> bool {
    let generator = 65_537 % prime;
    let mut power = 1;
    for _ in 0..prime {
        if power == residue {
            return true;
        }
        power = power * generator % prime;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_power_of_the_generator_is_found_and_its_neighbour_is_not() {
        let power = 65_537_u64.pow(3);
        assert!(is_affected(&power.to_be_bytes()));
        assert!(!is_affected(&(power + 2).to_be_bytes()));
    }
}
