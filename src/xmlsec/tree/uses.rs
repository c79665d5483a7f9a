//! Which namespaces a part of a text uses visibly (Exc-C14N 1.0 §3), as bits.

use super::{NONE, XML};

/// Of as many declarations of a document each has a bit of its own: few documents have more.
const COUNTED: u32 = 30;
/// What the bits cannot say: no default namespace, which nothing declares, and the declarations behind [`COUNTED`].
const OTHER: u32 = 1 << COUNTED;
const ALTERED: u32 = 1 << (COUNTED + 1);

/// Namespaces by the numbers of their declarations.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(in crate::xmlsec) struct Uses(u32);

impl Uses {
    /// Of a part that does not stand in canonical text as it does in the source.
    pub(super) const ALTERED: Self = Self(ALTERED);

    /// The use of one namespace. Nothing declares `xml`, and so it is always there.
    #[inline(always)]
    pub(super) const fn of(namespace: u32) -> Self {
        match namespace {
            0..COUNTED => Self(1 << namespace),
            XML => Self(0),
            COUNTED..XML | NONE => Self(OTHER),
        }
    }

    #[inline(always)]
    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Adds a namespace that is declared where it will be used.
    #[inline(always)]
    pub(in crate::xmlsec) const fn declare(&mut self, namespace: u32) {
        self.0 |= Self::of(namespace).0 & !OTHER;
    }

    /// Whether it stands as in canonical text where `declared` is declared. Never of what bits cannot say.
    #[inline(always)]
    pub(in crate::xmlsec) const fn stand_under(self, declared: Self) -> bool {
        self.0 & !declared.0 == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_declared_and_has_a_bit_stands() {
        for namespace in [0, 1, COUNTED - 1, COUNTED, COUNTED + 1, 1000, XML - 1, XML, NONE] {
            let uses = Uses::of(namespace);
            assert_eq!(uses.stand_under(Uses::default()), namespace == XML, "{namespace}");
            let mut declared = Uses::default();
            declared.declare(namespace);
            let stands = namespace < COUNTED || namespace == XML;
            assert_eq!(uses.stand_under(declared), stands, "{namespace}");
            assert!(!uses.and(Uses::ALTERED).stand_under(declared), "{namespace}");
            assert!(!Uses::of(2).and(uses).stand_under(declared), "{namespace}");
        }
    }
}
