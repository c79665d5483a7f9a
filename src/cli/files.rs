//! `--in` and `--out`: what a command on a label reads and writes.

use std::path::{Path, PathBuf};

use claviger::error::{Error, ErrorKind, Result};
use claviger::key_tools;
use claviger::secret::SecretBytes;
use serde_json::Value;

use super::Outcome;
use super::password_input::read_input;

/// The largest input, in bytes.
const MAX_INPUT_BYTES: u64 = 16 << 20;

/// Where data comes from and goes to.
#[derive(Debug, clap::Args)]
pub(crate) struct Files {
    /// Read from this file; `-` is stdin
    #[arg(long = "in", value_name = "FILE", default_value = "-")]
    input: PathBuf,
    /// Write to this new file, mode 0600, instead of stdout
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Files {
    /// Of a command that reads nothing.
    #[cfg(feature = "saml")]
    pub(crate) fn writing(out: Option<PathBuf>) -> Self {
        Self { input: PathBuf::new(), out }
    }

    /// The whole input.
    pub(crate) fn read(&self) -> Result<SecretBytes> {
        read_input(&self.input, MAX_INPUT_BYTES)
    }

    /// The input as a token: text, white space around it left out.
    pub(crate) fn read_token(&self) -> Result<String> {
        let bytes = self.read()?;
        // EXPOSE: a token is what the command is about; the copy ends with the command.
        let text = std::str::from_utf8(bytes.expose_secret())
            .map_err(|_| Error::new(ErrorKind::Malformed, "the input is no token"))?;
        Ok(text.trim().to_owned())
    }

    /// Puts `data` where the operator wants it. `json` is what `--json` shows; with `--out` its `members`, which
    /// hold the data, give way to the file's name.
    pub(crate) fn answer(&self, json: Value, members: &[&str], data: Vec<u8>) -> Result<Outcome> {
        Self::write(self.out.as_deref(), json, members, data)
    }

    /// As [`Files::answer`], for a command without input.
    pub(crate) fn write(
        out: Option<&Path>,
        mut json: Value,
        members: &[&str],
        data: Vec<u8>,
    ) -> Result<Outcome> {
        let Some(out) = out.filter(|out| *out != Path::new("-")) else {
            return Ok(Outcome::new(json, data));
        };
        key_tools::create_file(out, &SecretBytes::from_vec(data))?;
        if let Some(object) = json.as_object_mut() {
            members.iter().for_each(|member| drop(object.remove(*member)));
            object.insert("out".into(), out.display().to_string().into());
        }
        Ok(Outcome::new(json, "").with_notes([format!("written to {}", out.display())]))
    }
}
