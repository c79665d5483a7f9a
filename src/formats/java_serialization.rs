//! The one Java serialization grammar that JCEKS needs: sealed keys of fixed classes, never a general object reader.

use zeroize::{Zeroize, Zeroizing};

use crate::error::{Error, ErrorKind, Result};
use crate::secret::SecretBytes;

use super::{Material, SecretKeyType};

/// A key sealed by the JCEKS key protector.
#[derive(Debug)]
pub(super) struct SealedObject {
    /// The encoded algorithm parameters.
    pub(super) parameters: Vec<u8>,
    /// The encrypted serialized key.
    pub(super) content: Vec<u8>,
    /// The name of the sealing algorithm.
    pub(super) algorithm: String,
}

/// Reads a sealed object at the start of `bytes`; returns it and the number of bytes it took.
pub(super) fn read_sealed(bytes: &[u8]) -> Result<(SealedObject, usize)> {
    let mut stream = Stream::start(bytes)?;
    let mut fields = stream.object(&[(SEALED_BY_PROTECTOR, Some(SEALED)), (SEALED, None)])?;
    let sealed = SealedObject {
        parameters: fields.bytes("encodedParams")?,
        content: fields.bytes("encryptedContent")?,
        algorithm: fields.text("sealAlg")?,
    };
    Ok((sealed, bytes.len() - stream.rest.len()))
}

/// Reads a secret key: `javax.crypto.spec.SecretKeySpec`, or `java.security.KeyRep` of a raw secret key.
/// What `keytool -importpass` made is a password: the key of a PBE algorithm.
pub(super) fn read_secret_key(bytes: &[u8]) -> Result<Material> {
    let mut stream = Stream::start(bytes)?;
    let mut fields = stream.object(&[(SECRET_KEY_SPEC, None), (KEY_REP, None)])?;
    if !stream.rest.is_empty() {
        return Err(cut());
    }
    let key = if fields.class == KEY_REP {
        if fields.text("type")? != "SECRET" || fields.text("format")? != "RAW" {
            return Err(Error::new(ErrorKind::Unsupported, "a sealed key is not a raw secret key"));
        }
        fields.bytes("encoded")?
    } else {
        fields.bytes("key")?
    };
    let bytes = SecretBytes::from_vec(key);
    let algorithm = fields.text("algorithm")?;
    if algorithm.starts_with("PBEWith") {
        return Ok(Material::Secret(bytes));
    }
    Ok(Material::SecretKey { key_type: key_type(algorithm), bytes })
}

fn key_type(name: String) -> SecretKeyType {
    let upper = name.to_ascii_uppercase();
    if upper == "AES" {
        SecretKeyType::Aes
    } else if upper.starts_with("HMAC") {
        SecretKeyType::Hmac
    } else {
        SecretKeyType::Other(name)
    }
}

/// The field values of one object.
struct Fields {
    class: &'static str,
    values: Vec<(String, Value)>,
}

impl Fields {
    fn take(&mut self, name: &str) -> Value {
        let found = self.values.iter_mut().find(|(field, _)| field == name);
        found.map_or(Value::Null, |(_, value)| std::mem::replace(value, Value::Null))
    }

    fn bytes(&mut self, name: &str) -> Result<Vec<u8>> {
        match self.take(name) {
            Value::Bytes(mut bytes) => Ok(std::mem::take(&mut *bytes)),
            _ => Err(unexpected()),
        }
    }

    fn text(&mut self, name: &str) -> Result<String> {
        match self.take(name) {
            Value::Text(text) => Ok(text),
            _ => Err(unexpected()),
        }
    }
}

enum Value {
    Null,
    Text(String),
    Bytes(Zeroizing<Vec<u8>>),
}

/// A class description: its name, its fields (type code, name), and its superclass.
#[derive(Clone)]
struct Class {
    name: String,
    flags: u8,
    fields: Vec<(u8, String)>,
    parent: Option<Box<Self>>,
}

/// What a back reference may name.
enum Handle {
    Class(Class),
    Other,
    Text(String),
}

/// Reads forward over the bytes of one stream; nothing is allocated from a claimed length.
struct Stream<'a> {
    rest: &'a [u8],
    handles: Vec<Handle>,
}

impl<'a> Stream<'a> {
    fn start(bytes: &'a [u8]) -> Result<Self> {
        let rest = bytes.strip_prefix(&STREAM_HEADER).ok_or_else(cut)?;
        Ok(Self { rest, handles: Vec::new() })
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or_else(cut)?;
        self.rest = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8> {
        self.take(1)?.first().copied().ok_or_else(cut)
    }

    fn number(&mut self, width: usize) -> Result<usize> {
        let folded = self.take(width)?.iter().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
        usize::try_from(folded).map_err(|_| cut())
    }

    fn utf(&mut self) -> Result<String> {
        let length = self.number(2)?;
        modified_utf8(self.take(length)?).ok_or_else(cut)
    }

    /// One object whose class and superclass are in `allowed`.
    fn object(&mut self, allowed: &[(&'static str, Option<&'static str>)]) -> Result<Fields> {
        if self.byte()? != OBJECT {
            return Err(unexpected());
        }
        let class = self.class(0)?.ok_or_else(unexpected)?;
        let parent = class.parent.as_ref().map(|parent| parent.name.as_str());
        let known = allowed.iter().find(|(name, above)| *name == class.name && *above == parent);
        let (name, _) = known.ok_or_else(unexpected)?;
        self.handles.push(Handle::Other);
        let mut values = Vec::new();
        for part in class.parent.as_deref().into_iter().chain([&class]) {
            self.fields_of(part, &mut values)?;
        }
        Ok(Fields { class: name, values })
    }

    fn fields_of(&mut self, class: &Class, values: &mut Vec<(String, Value)>) -> Result<()> {
        for (code, name) in &class.fields {
            if !matches!(code, b'L' | b'[') {
                return Err(unexpected());
            }
            let value = self.value()?;
            values.push((name.clone(), value));
        }
        match class.flags {
            SERIALIZABLE => Ok(()),
            SERIALIZABLE_WITH_WRITE if self.byte()? == END_BLOCK => Ok(()),
            _ => Err(unexpected()),
        }
    }

    fn value(&mut self) -> Result<Value> {
        match self.byte()? {
            NULL => Ok(Value::Null),
            STRING => self.new_text().map(Value::Text),
            REFERENCE => match self.reference()? {
                Handle::Text(text) => Ok(Value::Text(text.clone())),
                _ => Err(unexpected()),
            },
            ARRAY => {
                let class = self.class(0)?.ok_or_else(unexpected)?;
                if class.name != "[B" {
                    return Err(unexpected());
                }
                self.handles.push(Handle::Other);
                let length = self.number(4)?;
                Ok(Value::Bytes(Zeroizing::new(self.take(length)?.to_vec())))
            }
            ENUM => {
                let class = self.class(0)?.ok_or_else(unexpected)?;
                if class.name != KEY_REP_TYPE {
                    return Err(unexpected());
                }
                self.handles.push(Handle::Other);
                match self.byte()? {
                    STRING => self.new_text().map(Value::Text),
                    _ => Err(unexpected()),
                }
            }
            _ => Err(unexpected()),
        }
    }

    fn new_text(&mut self) -> Result<String> {
        let text = self.utf()?;
        self.handles.push(Handle::Text(text.clone()));
        Ok(text)
    }

    fn reference(&mut self) -> Result<&Handle> {
        let index = self.number(4)?.checked_sub(BASE_HANDLE).ok_or_else(unexpected)?;
        self.handles.get(index).ok_or_else(unexpected)
    }

    /// A class description; `None` for null. No class here has more than one superclass.
    fn class(&mut self, depth: usize) -> Result<Option<Class>> {
        match self.byte()? {
            NULL => return Ok(None),
            REFERENCE => match self.reference()? {
                Handle::Class(class) => return Ok(Some(class.clone())),
                _ => return Err(unexpected()),
            },
            CLASS if depth <= 1 => {}
            _ => return Err(unexpected()),
        }
        let name = self.utf()?;
        if !CLASSES.contains(&name.as_str()) {
            return Err(unexpected());
        }
        self.take(8)?;
        let slot = self.handles.len();
        self.handles.push(Handle::Other);
        let flags = self.byte()?;
        let count = self.number(2)?;
        if count > MAX_FIELDS {
            return Err(unexpected());
        }
        let mut fields = Vec::new();
        for _ in 0..count {
            fields.push(self.field()?);
        }
        if self.byte()? != END_BLOCK {
            return Err(unexpected());
        }
        let parent = self.class(depth + 1)?.map(Box::new);
        let class = Class { name, flags, fields, parent };
        if let Some(handle) = self.handles.get_mut(slot) {
            *handle = Handle::Class(class.clone());
        }
        Ok(Some(class))
    }

    fn field(&mut self) -> Result<(u8, String)> {
        let code = self.byte()?;
        let name = self.utf()?;
        if matches!(code, b'L' | b'[') {
            match self.byte()? {
                STRING => drop(self.new_text()?),
                REFERENCE => drop(self.reference()?),
                _ => return Err(unexpected()),
            }
        }
        Ok((code, name))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Self::Text(text) = self {
            text.zeroize();
        }
    }
}

/// Java's modified UTF-8: NUL as two bytes, characters beyond the first plane as two surrogates.
pub(super) fn modified_utf8(bytes: &[u8]) -> Option<String> {
    let mut units = Vec::new();
    let mut rest = bytes.iter().copied();
    let continuation = |rest: &mut dyn Iterator<Item = u8>| {
        rest.next().filter(|byte| byte & 0xc0 == 0x80).map(|byte| u16::from(byte & 0x3f))
    };
    while let Some(first) = rest.next() {
        let head = u16::from(first);
        units.push(match first {
            1..=0x7f => head,
            0xc0..=0xdf => (head & 0x1f) << 6 | continuation(&mut rest)?,
            0xe0..=0xef => {
                let second = continuation(&mut rest)?;
                (head & 0x0f) << 12 | second << 6 | continuation(&mut rest)?
            }
            _ => return None,
        });
    }
    String::from_utf16(&units).ok()
}

fn cut() -> Error {
    Error::new(ErrorKind::Damaged, "a secret key entry of the keystore is cut or altered")
}

fn unexpected() -> Error {
    Error::new(
        ErrorKind::Unsupported,
        "a secret key entry of the keystore holds a Java object that is not a sealed secret key",
    )
}

const STREAM_HEADER: [u8; 4] = [0xac, 0xed, 0, 5];
const NULL: u8 = 0x70;
const REFERENCE: u8 = 0x71;
const CLASS: u8 = 0x72;
const OBJECT: u8 = 0x73;
const STRING: u8 = 0x74;
const ARRAY: u8 = 0x75;
const END_BLOCK: u8 = 0x78;
const ENUM: u8 = 0x7e;
const BASE_HANDLE: usize = 0x007e_0000;
const SERIALIZABLE: u8 = 2;
const SERIALIZABLE_WITH_WRITE: u8 = 3;
const MAX_FIELDS: usize = 8;

const SEALED_BY_PROTECTOR: &str = "com.sun.crypto.provider.SealedObjectForKeyProtector";
const SEALED: &str = "javax.crypto.SealedObject";
const SECRET_KEY_SPEC: &str = "javax.crypto.spec.SecretKeySpec";
const KEY_REP: &str = "java.security.KeyRep";
const KEY_REP_TYPE: &str = "java.security.KeyRep$Type";
const CLASSES: [&str; 7] =
    ["[B", SEALED_BY_PROTECTOR, "java.lang.Enum", KEY_REP, KEY_REP_TYPE, SEALED, SECRET_KEY_SPEC];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modified_utf8_reads_what_java_writes() {
        assert_eq!(modified_utf8(b"a\xc0\x80\xc3\xa9\xe2\x82\xac").unwrap(), "a\0\u{e9}\u{20ac}");
        assert_eq!(modified_utf8(b"\xed\xa0\xbd\xed\xb8\x80").unwrap(), "\u{1f600}");
        for bad in [&b"\0"[..], b"\xc3", b"\xe2\x82", b"\xf0\x9f\x98\x80", b"\xed\xa0\xbd", b"\x80"]
        {
            assert!(modified_utf8(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn other_objects_are_refused() {
        let hash_set =
            b"\xac\xed\0\x05sr\0\x11java.util.HashSet\xba\x44\x85\x95\x96\xb8\xb7\x34\x03\0\0xp";
        assert_eq!(read_sealed(hash_set).unwrap_err().kind(), ErrorKind::Unsupported);
        assert_eq!(read_secret_key(b"\xac\xed\0\x05").unwrap_err().kind(), ErrorKind::Damaged);
    }
}
