//! When a payload ends: the `exp` of a JWT (RFC 7519 §4.1.4), found in nanoseconds where it is plain to see.
//!
//! For well-formed JSON the answer is exact: nested members, names written with escapes, fractions, exponents
//! and repeated members included. What ends at no stated time is [`Life::Open`]. A text that opens and closes
//! like an object but is none is taken by the `exp` that it shows, or as open.

use std::fmt;

use memchr::{memchr_iter, memchr3_iter};
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// When something that was made ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "it says when, or it does not")]
pub enum Life {
    /// It carries no end: the label's `max_token_lifetime` bounds it, or nothing does.
    Open,
    /// From this second since 1970 on it is refused. [`NEVER`] for what lies beyond the year 9999.
    Until(u64),
}

/// The end of what never ends: after every time that a person can mean.
pub const NEVER: u64 = 253_402_300_800;

impl Life {
    /// The life of a signed payload. A payload that is no JSON object has no end.
    #[must_use]
    pub fn of_payload(payload: &[u8]) -> Self {
        let text = payload.trim_ascii();
        let Some(inner) = text.strip_prefix(b"{").and_then(|text| text.strip_suffix(b"}")) else {
            return Self::Open;
        };
        plain(inner).unwrap_or_else(|| exact(text))
    }
}

/// The life of an object without escapes whose `exp` is a plain number; else `None`. Without escapes a
/// quotation mark always begins or ends a string: what looks like the name `exp` is one.
fn plain(inner: &[u8]) -> Option<Life> {
    let mut found = None;
    for at in memchr3_iter(b'{', b'\\', b'x', inner) {
        match inner.get(at)? {
            b'{' => return beside_braces(inner),
            b'\\' => return None,
            _ => look_at(inner, at, &mut found)?,
        }
    }
    Some(found.map_or(Life::Open, Life::Until))
}

/// The same with inner objects: a brace counts where the number of quotation marks before it is even.
fn beside_braces(inner: &[u8]) -> Option<Life> {
    let mut found = None;
    let (mut depth, mut quoted, mut start) = (0_usize, false, 0);
    for at in memchr3_iter(b'{', b'}', b'\\', inner) {
        let part = inner.get(start..at)?;
        if depth == 0 {
            look(part, &mut found)?;
        }
        quoted ^= memchr_iter(b'"', part).count() % 2 == 1;
        match inner.get(at)? {
            b'{' if !quoted => depth += 1,
            b'}' if !quoted => depth = depth.checked_sub(1)?,
            b'\\' => return None,
            _ => {}
        }
        start = at + 1;
    }
    if depth > 0 {
        return None;
    }
    look(inner.get(start..)?, &mut found)?;
    Some(found.map_or(Life::Open, Life::Until))
}

/// Finds `exp` in a part of the outermost object. `None`: the exact reader must say.
fn look(part: &[u8], found: &mut Option<u64>) -> Option<()> {
    memchr_iter(b'x', part).try_for_each(|at| look_at(part, at, found))
}

/// Whether the `x` at this place is that of `exp`, and what it says.
fn look_at(part: &[u8], at: usize, found: &mut Option<u64>) -> Option<()> {
    if part.get(at.wrapping_sub(2)..at + 3) != Some(b"\"exp\"") {
        return Some(());
    }
    let rest = part.get(at + 3..)?.trim_ascii_start();
    let value = plain_number(rest.strip_prefix(b":")?.trim_ascii_start())?;
    found.replace(value).is_none().then_some(())
}

/// Digits and then the end of the member. Sixteen of them are beyond [`NEVER`] and do not overflow.
fn plain_number(text: &[u8]) -> Option<u64> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = text.split_at_checked(digits)?;
    if !(1..=16).contains(&digits) || !matches!(rest.trim_ascii_start().first(), None | Some(b','))
    {
        return None;
    }
    let one_by_one = |digits: &[u8]| {
        digits.iter().fold(0, |value, digit| value * 10 + u64::from(digit.wrapping_sub(b'0')))
    };
    let value = match number.split_last_chunk::<8>() {
        Some((head, tail)) => one_by_one(head) * 100_000_000 + eight_digits(*tail),
        None => one_by_one(number),
    };
    Some(value.min(NEVER))
}

/// Eight digits at once: neighbours are joined to pairs, pairs to fours, fours to the whole.
const fn eight_digits(text: [u8; 8]) -> u64 {
    let digits = u64::from_le_bytes(text) & 0x0f0f_0f0f_0f0f_0f0f;
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100).wrapping_add(pairs >> 16) & 0x0000_ffff_0000_ffff;
    fours.wrapping_mul(10_000).wrapping_add(fours >> 32) & 0xffff_ffff
}

/// Reads the whole text. Of repeated members the latest counts, since readers differ in which they take.
fn exact(text: &[u8]) -> Life {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let read = reader.deserialize_map(Members).and_then(|life| reader.end().map(|()| life));
    match read {
        Ok(life) => life,
        // A number beyond what a double holds: far in the future to whoever can read it.
        Err(error) if error.to_string().starts_with("number out of range") => Life::Until(NEVER),
        Err(_) => Life::Open,
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Life;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Life, A::Error> {
        let mut latest: Option<u64> = None;
        let mut open = false;
        while let Some(name) = members.next_key::<std::borrow::Cow<'de, str>>()? {
            if name != "exp" {
                members.next_value::<IgnoredAny>()?;
                continue;
            }
            match members.next_value::<Date>()?.0 {
                Some(date) => latest = latest.max(Some(date)),
                None => open = true,
            }
        }
        Ok(latest.filter(|_| !open).map_or(Life::Open, Life::Until))
    }
}

/// A NumericDate in whole seconds, rounded up; `None` for what is no number (RFC 7519 §2).
struct Date(Option<u64>);

impl<'de> serde::Deserialize<'de> for Date {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DateVisitor).map(Self)
    }
}

struct DateVisitor;

impl<'de> Visitor<'de> for DateVisitor {
    type Value = Option<u64>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_u64<E>(self, value: u64) -> Result<Option<u64>, E> {
        Ok(Some(value.min(NEVER)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Option<u64>, E> {
        Ok(Some(u64::try_from(value).unwrap_or(0).min(NEVER)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Option<u64>, E> {
        // `try_from_secs_f64` rounds to nanoseconds: one second more covers any fraction.
        let whole = std::time::Duration::try_from_secs_f64(value.max(0.0).ceil());
        Ok(Some(whole.map_or(NEVER, |whole| whole.as_secs()).min(NEVER)))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Option<u64>, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Option<u64>, E> {
        Ok(None)
    }

    fn visit_str<E>(self, _: &str) -> Result<Option<u64>, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Option<u64>, A::Error> {
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Option<u64>, A::Error> {
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn life(text: &str) -> Life {
        Life::of_payload(text.as_bytes())
    }

    #[test]
    fn the_end_is_that_of_the_outermost_object() {
        for (text, expected) in [
            (r#"{"exp":1700000000}"#, Life::Until(1_700_000_000)),
            (" {\"sub\":\"x\", \"exp\" :\t17 } \n", Life::Until(17)),
            (r#"{"exp":17.2,"a":1}"#, Life::Until(18)),
            (r#"{"exp":1.7e3}"#, Life::Until(1_700)),
            (r#"{"exp":-5}"#, Life::Until(0)),
            (r#"{"exp":-5.5}"#, Life::Until(0)),
            (r#"{"exp":1e400}"#, Life::Until(NEVER)),
            (r#"{"exp":1e300}"#, Life::Until(NEVER)),
            (r#"{"exp":99999999999999999999999999}"#, Life::Until(NEVER)),
            (r#"{"exp":999999999999999999}"#, Life::Until(NEVER)),
            (r#"{"\u0065xp":9}"#, Life::Until(9)),
            (r#"{"exp":5,"\u0065xp":9}"#, Life::Until(9)),
            (r#"{"exp":9,"exp":5}"#, Life::Until(9)),
            (r#"{"exp":9,"exp":"5"}"#, Life::Open),
            (r#"{"a":{"exp":9}}"#, Life::Open),
            (r#"{"a":{"exp":9},"exp":7}"#, Life::Until(7)),
            (r#"{"a":"{","exp":7}"#, Life::Until(7)),
            (r#"{"a":{"b":"}","exp":9}}"#, Life::Open),
            (r#"{"a":{"b":"}"},"exp":1234567890}"#, Life::Until(1_234_567_890)),
            (r#"{"a":[{"exp":9},{}],"exp":123456789012}"#, Life::Until(123_456_789_012)),
            (r#"{"exp":12345678}"#, Life::Until(12_345_678)),
            (r#"{"exp":{},"x":"exp"}"#, Life::Open),
            (r#"{"a":"}\"","b":{"c":"\"exp\":9"}}"#, Life::Open),
            (r#"{"a":"exp"}"#, Life::Open),
            (r#"{"a":["exp",1],"exp":3}"#, Life::Until(3)),
            (r#"{"exp":"9"}"#, Life::Open),
            (r#"{"exp":null}"#, Life::Open),
            (r#"{"exp":[9]}"#, Life::Open),
            (r#"{"exp":{"exp":9}}"#, Life::Open),
            (r#"{"exp":9}{"#, Life::Open),
            (r#"[{"exp":9}]"#, Life::Open),
            (r#"{"sub":"alice"}"#, Life::Open),
            ("{}", Life::Open),
            ("{", Life::Open),
            ("", Life::Open),
            ("\"exp\":9", Life::Open),
            ("{\"a\":{},\"exp\":12", Life::Open),
        ] {
            assert_eq!(life(text), expected, "{text}");
        }
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let text = prop_oneof![Just("exp".to_owned()), "[\"\\\\{}:,xep 0-9]{0,9}"];
        let leaf = prop_oneof![
            any::<i64>().prop_map(serde_json::Value::from),
            (0.0..1e12_f64).prop_map(serde_json::Value::from),
            text.clone().prop_map(serde_json::Value::from),
            any::<bool>().prop_map(serde_json::Value::from),
        ];
        leaf.prop_recursive(3, 24, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
                prop::collection::btree_map(text.clone(), inner, 0..6).prop_map(|members| {
                    serde_json::Value::Object(members.into_iter().collect())
                }),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// The fast way and the slow one against a full parse, on texts made to confuse them.
        #[test]
        fn every_json_text_has_the_end_that_a_full_parse_finds(value in json(), pretty: bool) {
            let text = if pretty {
                serde_json::to_string_pretty(&value).unwrap()
            } else {
                value.to_string()
            };
            let expected = match value.get("exp").filter(|_| value.is_object()) {
                Some(serde_json::Value::Number(number)) => {
                    let seconds = number.as_f64().unwrap().max(0.0);
                    let found = life(&text);
                    let Life::Until(end) = found else { panic!("{found:?} for {text}") };
                    let end = std::time::Duration::from_secs(end).as_secs_f64();
                    let never = std::time::Duration::from_secs(NEVER).as_secs_f64();
                    prop_assert!(end >= seconds.min(never), "{end} for {text}");
                    prop_assert!(end < seconds + 1.0, "{end} for {text}");
                    return Ok(());
                }
                _ => Life::Open,
            };
            prop_assert_eq!(life(&text), expected, "{}", text);
        }
    }
}
