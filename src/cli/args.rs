//! The options that every command takes.

use std::path::PathBuf;

use claviger::clock::Clock;

use super::{Context, commands};

/// When output is coloured.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(crate) enum Color {
    Always,
    // On a terminal, unless `NO_COLOR` is set.
    Auto,
    Never,
}

/// Global options.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct GlobalArgs {
    /// The configuration file
    #[arg(
        short,
        long,
        global = true,
        value_name = "FILE",
        env = "CLAVIGER_CONFIG",
        hide_env_values = true
    )]
    #[arg(default_value = "claviger.toml")]
    config: PathBuf,
    /// The realm whose mappings count
    #[arg(long, global = true, value_name = "REALM")]
    realm: Option<String>,
    /// Print one JSON object on stdout, errors too
    #[arg(long, global = true)]
    json: bool,
    /// When to colour; auto: on a terminal, unless NO_COLOR is set
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value = "auto")]
    color: Color,
    /// Say less: errors only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Say more; may be repeated
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
}

impl GlobalArgs {
    pub(crate) fn into_context(self, clock: Clock, unhardened: Vec<String>) -> Context {
        Context {
            named: commands::named(&self.config),
            config: self.config,
            realm: self.realm,
            json: self.json,
            color: self.color,
            verbosity: if self.quiet { -1 } else { i16::from(self.verbose) },
            clock,
            unhardened,
        }
    }
}
