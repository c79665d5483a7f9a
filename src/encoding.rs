//! base64 and base64url (RFC 4648 §4, §5), strict about padding and spare bits, by the widest instructions there are.

use std::sync::LazyLock;

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
use base64::engine::general_purpose::GeneralPurpose as Widest;
use base64::engine::general_purpose::NO_PAD;
#[cfg(feature = "saml")]
use base64::engine::general_purpose::PAD;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use base64::engine::simd::Simd as Widest;

/// Without padding, as JOSE has it (RFC 7515 §2).
pub(crate) static BASE64URL: LazyLock<Widest> = LazyLock::new(|| {
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    return Widest::url_safe(NO_PAD);
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    return Widest::new(&base64::alphabet::URL_SAFE, NO_PAD);
});

/// With padding, as XML has it (RFC 4648 §4).
#[cfg(feature = "saml")]
pub(crate) static BASE64: LazyLock<Widest> = LazyLock::new(|| {
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    return Widest::standard(PAD);
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    return Widest::new(&base64::alphabet::STANDARD, PAD);
});

#[cfg(all(test, feature = "saml"))]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn bytes_have_one_text(bytes in vec(any::<u8>(), 0..200)) {
            let text = BASE64URL.encode(&bytes);
            prop_assert_eq!(&text, &URL_SAFE_NO_PAD.encode(&bytes));
            prop_assert_eq!(BASE64URL.decode(&text).unwrap(), bytes.clone());
            let text = BASE64.encode(&bytes);
            prop_assert_eq!(&text, &STANDARD.encode(&bytes));
            prop_assert_eq!(BASE64.decode(&text).unwrap(), bytes);
        }

        #[test]
        fn what_is_neither_is_refused_wherever_it_stands(
            text in "[A-Za-z0-9]{0,150}",
            other in "[A-Za-z0-9_=+/ \n.\u{e9}-]{0,3}",
            at in any::<prop::sample::Index>(),
        ) {
            let (before, behind) = text.split_at(at.index(text.len() + 1));
            let text = format!("{before}{other}{behind}");
            prop_assert_eq!(BASE64URL.decode(&text).ok(), URL_SAFE_NO_PAD.decode(&text).ok());
            prop_assert_eq!(BASE64.decode(&text).ok(), STANDARD.decode(&text).ok());
        }
    }
}
