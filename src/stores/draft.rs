//! Stores as they would be: what is on disk, with changes that are not written.

use std::path::PathBuf;

use crate::error::{Error, ErrorKind, Result};
use crate::secret::SecretBytes;
use crate::stores::content::{Content, Part};
use crate::stores::files::take;
use crate::stores::{StoreConfig, volume};

/// Changes of the file or the directory of a store, read as if they were made.
#[derive(Debug)]
pub(crate) struct Draft {
    /// The keystore file, or the directory of the volume.
    pub(crate) path: PathBuf,
    /// The changes, in this order.
    pub(crate) edits: Vec<FileEdit>,
}

/// One change.
#[derive(Debug)]
pub(crate) enum FileEdit {
    /// A new file of a volume.
    Place {
        /// Its name.
        name: String,
        /// What is in it.
        value: SecretBytes,
    },
    /// Another name for a file of a volume.
    Rename {
        /// Its name.
        from: String,
        /// Its new name; one that begins with two dots belongs to no label.
        to: String,
    },
    /// A whole keystore file.
    Rewrite {
        /// What is in it now.
        before: SecretBytes,
        /// What is to be in it.
        after: SecretBytes,
    },
}

impl StoreConfig {
    /// As [`StoreConfig::read`], with the changes of the drafts that are about this store.
    pub(crate) fn read_with(&self, drafts: &[&Draft]) -> Result<Content> {
        let mut content = self.read()?;
        for draft in drafts.iter().filter(|draft| self.paths().contains(&draft.path)) {
            draft.edits.iter().try_for_each(|edit| draft.apply(edit, &mut content))?;
        }
        Ok(content)
    }
}

impl Draft {
    fn apply(&self, edit: &FileEdit, content: &mut Content) -> Result<()> {
        match edit {
            FileEdit::Place { name, value } => {
                self.refuse_taken(name, content)?;
                content.parts.push(made(name.clone(), value));
            }
            FileEdit::Rename { from, to } => {
                self.refuse_taken(to, content)?;
                let at = content.parts.iter().position(|part| part.name == *from);
                let part = match at {
                    Some(at) => content.parts.remove(at),
                    // What was put aside is not read otherwise.
                    None => Part::of(from.clone(), take(&self.path.join(from), volume::MAX_BYTES)),
                };
                if !to.starts_with("..") {
                    content.parts.push(Part { name: to.clone(), ..part });
                }
            }
            FileEdit::Rewrite { after, .. } => {
                content.parts = vec![made(self.path.to_string_lossy().into_owned(), after)];
            }
        }
        Ok(())
    }

    fn refuse_taken(&self, name: &str, content: &Content) -> Result<()> {
        if !content.parts.iter().any(|part| part.name == name) {
            return Ok(());
        }
        let text = format!("there is a file \"{}\" already", name.escape_debug());
        Err(Error::new(ErrorKind::StepRefused, text)
            .with_file(self.path.join(name))
            .with_help("move it away first"))
    }
}

fn made(name: String, bytes: &SecretBytes) -> Part {
    // EXPOSE: copied into another owner that wipes itself.
    Part { name, bytes: Ok(SecretBytes::from_slice(bytes.expose_secret())), stamp: None }
}
