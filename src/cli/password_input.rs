//! Passwords from a file, an environment variable or a prompt, never from an argument.

use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};

use claviger::error::{Error, ErrorKind, Result};
use claviger::secret::{SecretBytes, SecretString};

/// Where the password of a store comes from.
#[derive(Debug, clap::Args)]
pub(crate) struct StorePassword {
    /// Read the store's password from this file (one trailing line break is left out)
    #[arg(long, value_name = "FILE", conflicts_with = "store_password_env")]
    store_password_file: Option<PathBuf>,
    /// Read the store's password from this environment variable
    #[arg(long, value_name = "NAME")]
    store_password_env: Option<String>,
}

impl StorePassword {
    /// The password, `None` if no source was named.
    pub(crate) fn read(&self) -> Result<Option<SecretString>> {
        read(self.store_password_file.as_deref(), self.store_password_env.as_deref())
    }

    /// The password, asked for on a terminal if no source was named.
    pub(crate) fn require(&self) -> Result<SecretString> {
        let found =
            self.read()?.map_or_else(|| prompt("store password"), |found| Ok(Some(found)))?;
        found.ok_or_else(|| {
            Error::new(ErrorKind::Usage, "the store's password is needed")
                .with_help("name it: --store-password-file FILE or --store-password-env NAME")
        })
    }
}

/// Where the password of the container that is imported comes from.
#[derive(Debug, clap::Args)]
pub(crate) struct SourcePassword {
    /// Read the password of the imported file from this file
    #[arg(long, value_name = "FILE", conflicts_with = "source_password_env")]
    source_password_file: Option<PathBuf>,
    /// Read the password of the imported file from this environment variable
    #[arg(long, value_name = "NAME")]
    source_password_env: Option<String>,
}

impl SourcePassword {
    /// The password, `None` if no source was named.
    pub(crate) fn read(&self) -> Result<Option<SecretString>> {
        read(self.source_password_file.as_deref(), self.source_password_env.as_deref())
    }
}

/// Where the password of single entries comes from.
#[derive(Debug, clap::Args)]
pub(crate) struct EntryPassword {
    /// Read the entries' password from this file, where it differs from the store's
    #[arg(long, value_name = "FILE", conflicts_with = "entry_password_env")]
    entry_password_file: Option<PathBuf>,
    /// Read the entries' password from this environment variable
    #[arg(long, value_name = "NAME")]
    entry_password_env: Option<String>,
}

impl EntryPassword {
    /// The password, `None` if no source was named.
    pub(crate) fn read(&self) -> Result<Option<SecretString>> {
        read(self.entry_password_file.as_deref(), self.entry_password_env.as_deref())
    }
}

/// Asks on the terminal; `None` where there is none.
pub(crate) fn prompt(what: &str) -> Result<Option<SecretString>> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(None);
    }
    rpassword::prompt_password(format!("{what}: "))
        .map(|text| Some(SecretString::from_string(text)))
        .map_err(|error| Error::new(ErrorKind::Io, "the prompt failed").with_source(error))
}

/// The bytes of a file, or of stdin for `-`, bounded.
pub(crate) fn read_input(path: &Path, max_bytes: u64) -> Result<SecretBytes> {
    let failed = |error: io::Error| {
        Error::new(ErrorKind::StoreUnreadable, format!("cannot be read: {error}")).with_file(path)
    };
    let bytes = if path == Path::new("-") {
        SecretBytes::read_from(io::stdin().lock().take(max_bytes + 1)).map_err(failed)?
    } else {
        // Opening a FIFO would wait for a writer, reading a device might never end.
        if !std::fs::metadata(path).map_err(failed)?.is_file() {
            return Err(failed(io::Error::other("it is no regular file"))
                .with_help("name a regular file; a FILE of - reads stdin"));
        }
        let file = std::fs::File::open(path).map_err(failed)?;
        SecretBytes::read_from(file.take(max_bytes + 1)).map_err(failed)?
    };
    if u64::try_from(bytes.len()).is_ok_and(|len| len > max_bytes) {
        let text = format!("it is over the bound of {max_bytes} bytes");
        return Err(Error::new(ErrorKind::LimitExceeded, text).with_file(path));
    }
    Ok(bytes)
}

/// The content of a keystore that may not be there yet.
pub(crate) fn read_existing(path: &Path, max_bytes: u64) -> Result<Option<SecretBytes>> {
    match path.try_exists() {
        Ok(false) => Ok(None),
        _ => read_input(path, max_bytes).map(Some),
    }
}

fn read(file: Option<&Path>, variable: Option<&str>) -> Result<Option<SecretString>> {
    if let Some(path) = file {
        let bytes = read_input(path, MAX_PASSWORD_BYTES)?;
        // EXPOSE: copied into another zeroizing owner, without its line break.
        let raw = bytes.expose_secret();
        let raw = raw.strip_suffix(b"\n").unwrap_or(raw);
        let raw = raw.strip_suffix(b"\r").unwrap_or(raw);
        let text = SecretString::from_utf8(&SecretBytes::from_slice(raw)).ok_or_else(|| {
            Error::new(ErrorKind::Usage, "the password is not UTF-8").with_file(path)
        })?;
        return Ok(Some(text));
    }
    let Some(name) = variable else { return Ok(None) };
    let value = std::env::var(name).map_err(|_| {
        Error::new(ErrorKind::Usage, format!("the environment variable {name:?} is not set"))
    })?;
    Ok(Some(SecretString::from_string(value)))
}

const MAX_PASSWORD_BYTES: u64 = 64 << 10;
