//! When a payload ends: the `exp` of a JWT (RFC 7519 §4.1.4), found in nanoseconds where it is plain to see.
//!
//! For well-formed JSON the answer is exact: nested members, names written with escapes, fractions, exponents
//! and repeated members included. What ends at no stated time is [`Life::Open`]. A text that opens and closes
//! like an object but is none is taken by the `exp` that it shows, or as open.

use std::fmt;
use std::sync::LazyLock;

use fearless_simd::{Level, Simd, dispatch};
use memchr::memmem::Finder;
use memchr::{memchr, memchr_iter, memchr2_iter};
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::scan::look;

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

/// The name where nothing is escaped.
static NAME: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"exp\""));
const NAME_BYTES: usize = 5;

impl Life {
    /// The life of a signed payload. A payload that is no JSON object has no end.
    #[must_use]
    #[inline]
    pub fn of_payload(payload: &[u8]) -> Self {
        match payload {
            [b'{', inside @ ..] if inside.last() == Some(&b'}') => at_a_glance(inside),
            _ => None,
        }
        .unwrap_or_else(|| of_text(payload.trim_ascii()))
    }
}

/// The life of an object, behind its first byte, as nearly all are written: nothing is escaped, and if there is the name
/// `exp` it stands there once, with ten digits behind it, as the seconds of the years 2001 to 2286 have. `None`: look
/// closer.
#[inline(always)]
fn at_a_glance(inside: &[u8]) -> Option<Life> {
    let level = Level::new();
    // What `dispatch!` does, but what is looked at goes in registers, and wider blocks than these are not asked for.
    #[cfg(target_arch = "x86_64")]
    if let Some(simd) = level.as_avx2() {
        return simd.vectorize(move || glance(simd, inside));
    }
    glance_elsewhere(level, inside)
}

#[inline(never)]
fn glance_elsewhere(level: Level, inside: &[u8]) -> Option<Life> {
    dispatch!(level, simd => glance(simd, inside))
}

// What runs with wider instructions has to be inlined where they are switched on.
#[inline(always)]
fn glance<S: Simd>(simd: S, inside: &[u8]) -> Option<Life> {
    let seen = look(simd, inside)?;
    if seen.place == 0 {
        return Some(Life::Open);
    }
    if seen.begun && is_before_an_end(inside, seen.place) {
        return None;
    }
    let from = inside.get(seen.place.checked_sub(3)?..)?;
    let (name, digits) = from.first_chunk::<17>()?.split_first_chunk::<6>()?;
    let ([first, second], rest) = digits.split_first_chunk::<2>()?;
    let (others, [b',' | b'}']) = rest.split_first_chunk::<8>()? else { return None };
    if name != b"\"exp\":" || !are_digits(*others) {
        return None;
    }
    let hundred_millions = one_digit(*first)? * 10 + one_digit(*second)?;
    Some(Life::Until(hundred_millions * 100_000_000 + eight_digits(*others)))
}

/// Whether an inner object ends behind this place.
#[inline(never)]
fn is_before_an_end(inside: &[u8], place: usize) -> bool {
    let [inner @ .., _] = inside else { return true };
    inner.get(place..).is_none_or(|behind| memchr(b'}', behind).is_some())
}

#[cold]
#[inline(never)]
fn of_text(text: &[u8]) -> Life {
    let [b'{', inner @ .., b'}'] = text else { return Life::Open };
    plain(inner).unwrap_or_else(|| exact(text))
}

/// The life of an object without escapes whose `exp` is a plain number; else `None`. Without escapes a
/// quotation mark always begins or ends a string, so what looks like the name `exp` is one, or a value.
fn plain(inner: &[u8]) -> Option<Life> {
    if memchr(b'\\', inner).is_some() {
        return None;
    }
    let Some(at) = NAME.find(inner) else { return Some(Life::Open) };
    beside_braces(inner, at, inner.get(at + NAME_BYTES..)?)
}

/// The same where there is a name, and nothing is escaped.
fn beside_braces(inner: &[u8], first: usize, after: &[u8]) -> Option<Life> {
    // Nothing is closed behind the only name but the whole.
    if memchr(b'}', after).is_none() && NAME.find(after).is_none() {
        return member(after).map(|value| value.map_or(Life::Open, Life::Until));
    }
    let (mut found, mut depth, mut start, mut at) = (None, 0_usize, 0, first);
    loop {
        depth = depth_after(depth, inner.get(start..at)?)?;
        start = at + NAME_BYTES;
        let rest = inner.get(start..)?;
        if depth == 0
            && let Some(value) = member(rest)?
        {
            found.replace(value).is_none().then_some(())?;
        }
        match NAME.find(rest) {
            Some(next) => at = start + next,
            None => return Some(found.map_or(Life::Open, Life::Until)),
        }
    }
}

/// How many objects are open behind a text that begins and ends outside of strings: a brace counts where the
/// number of quotation marks before it is even.
fn depth_after(mut depth: usize, text: &[u8]) -> Option<usize> {
    let (mut quoted, mut start) = (false, 0);
    for at in memchr2_iter(b'{', b'}', text) {
        quoted ^= memchr_iter(b'"', text.get(start..at)?).count() % 2 == 1;
        start = at + 1;
        match text.get(at)? {
            _ if quoted => {}
            b'{' => depth += 1,
            _ => depth = depth.checked_sub(1)?,
        }
    }
    Some(depth)
}

/// What the text behind the string `exp` says: the number of that member, or nothing if the string is no name.
/// `None`: the exact reader must say.
fn member(rest: &[u8]) -> Option<Option<u64>> {
    let value = match rest {
        [b':', value @ ..] => value,
        _ => match rest.trim_ascii_start() {
            [b':', value @ ..] => value,
            _ => return Some(None),
        },
    };
    match plain_number(value) {
        None => plain_number(value.trim_ascii_start()).map(Some),
        some => Some(some),
    }
}

/// Digits and then the end of the member. Sixteen of them are beyond [`NEVER`] and do not overflow.
#[inline]
fn plain_number(text: &[u8]) -> Option<u64> {
    let digits = text.iter().take(16).map_while(|byte| one_digit(*byte));
    let (count, value) =
        digits.fold((0, 0), |(count, value), digit| (count + 1, value * 10 + digit));
    let rest = text.get(count..)?.trim_ascii_start();
    let ends = count > 0 && matches!(rest.first(), None | Some(b','));
    ends.then_some(value.min(NEVER))
}

fn one_digit(byte: u8) -> Option<u64> {
    byte.is_ascii_digit().then(|| u64::from(byte & 0xf))
}

/// Digits are 0x30 to 0x39: those and no other bytes have 3 in the upper half, and still have it with 6 added.
const fn are_digits(text: [u8; 8]) -> bool {
    const UPPER: u64 = 0xf0f0_f0f0_f0f0_f0f0;
    const THREES: u64 = 0x3030_3030_3030_3030;
    let bytes = u64::from_le_bytes(text);
    bytes & UPPER == THREES && bytes.wrapping_add(0x0606_0606_0606_0606) & UPPER == THREES
}

/// Eight digits at once: neighbours are joined to pairs, pairs to fours, fours to the whole.
const fn eight_digits(text: [u8; 8]) -> u64 {
    let digits = u64::from_le_bytes(text) & 0x0f0f_0f0f_0f0f_0f0f;
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100).wrapping_add(pairs >> 16) & 0x0000_ffff_0000_ffff;
    fours.wrapping_mul(10_000).wrapping_add(fours >> 32) & 0xffff_ffff
}

/// Reads the whole text, apart from the quick way, which is then short. Of repeated members the latest counts, since
/// readers differ in which they take.
#[cold]
#[inline(never)]
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

    /// Texts of objects with what [`json`] cannot say: repeated members, names and values with escapes,
    /// white space, numbers in every spelling.
    fn object() -> impl Strategy<Value = String> {
        let string = prop_oneof![
            4 => Just("exp".to_owned()),
            1 => prop::sample::select(vec![
                r"\u0065xp", r"e\u0078p", r"ex\u0070", r#"exp\""#, r#"\"exp"#, r#"\"exp\":9"#, r"exp\\", "xp", "exp ",
            ])
            .prop_map(str::to_owned),
            3 => "[{}:,xep 0-9]{0,12}",
            1 => "[a-z]{0,70}",
        ]
        .prop_map(|text| format!("\"{text}\""));
        let number = prop_oneof![
            4 => "[1-9][0-9]{0,17}",
            1 => "-?[1-9][0-9]{0,11}",
            1 => "[1-9][0-9]{0,9}\\.[0-9]{1,3}",
            1 => "[1-9]e[0-9]{1,2}",
        ];
        let value = prop_oneof![4 => number, 2 => string.clone(), 1 => Just("null".to_owned())];
        let value = value.prop_recursive(3, 24, 6, move |inner| {
            let member = (string.clone(), "[ \n]{0,2}", "[ \t]{0,2}", inner.clone())
                .prop_map(|(name, before, after, value)| format!("{name}{before}:{after}{value}"));
            prop_oneof![
                3 => prop::collection::vec(member, 0..7).prop_map(|all| format!("{{{}}}", all.join(","))),
                1 => prop::collection::vec(inner, 0..4).prop_map(|all| format!("[{}]", all.join(", "))),
            ]
        });
        value.prop_filter("an object", |text| text.starts_with('{'))
    }

    /// The members of the outermost object, in their order, as a plain parser reads them.
    struct Whole(Vec<(String, serde_json::Value)>);

    impl<'de> serde::Deserialize<'de> for Whole {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct All;
            impl<'de> Visitor<'de> for All {
                type Value = Whole;
                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("an object")
                }
                fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Whole, A::Error> {
                    let mut all = Vec::new();
                    while let Some(member) = map.next_entry()? {
                        all.push(member);
                    }
                    Ok(Whole(all))
                }
            }
            deserializer.deserialize_map(All)
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        /// The quick way against a plain parser: the latest of all members named `exp`, however they are
        /// spelled, and no end as soon as one of them is no number.
        #[test]
        fn repeated_escaped_and_nested_names_are_read_as_a_parser_reads_them(text in object()) {
            let Whole(members) = serde_json::from_str(&text).unwrap();
            let ends = members.iter().filter(|(name, _)| name == "exp").map(|(_, value)| {
                let whole = value.as_u64().or_else(|| {
                    let ceiled = value.as_f64()?.max(0.0).ceil();
                    Some(std::time::Duration::try_from_secs_f64(ceiled).map_or(NEVER, |whole| whole.as_secs()))
                });
                whole.map(|end| end.min(NEVER))
            });
            let all: Option<Vec<u64>> = ends.collect();
            let latest = all.and_then(|all| all.into_iter().max());
            prop_assert_eq!(life(&text), latest.map_or(Life::Open, Life::Until), "{}", text);
        }
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
