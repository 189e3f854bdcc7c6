//! `overlane completions` and `overlane man`: what shells and `man` know of the commands, made of their definition.

use std::io;
use std::path::PathBuf;

use clap::Command;
use clap_complete::Shell;

use crate::ending::{Ending, Failure, print, told};

/// Prints a script that completes the commands in a shell.
///
/// For bash: overlane completions bash > ~/.local/share/bash-completion/completions/overlane
#[derive(Debug, clap::Args)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

/// Prints the manual page, or writes the pages of all commands.
///
/// For one look: overlane man | man -l -
#[derive(Debug, clap::Args)]
pub(crate) struct Man {
    /// The directory that the pages of all commands are written to, such as ~/.local/share/man/man1
    #[arg(long, value_name = "DIRECTORY")]
    into: Option<PathBuf>,
}

pub(crate) fn completions(arguments: &Completions, mut command: Command) -> Ending {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, "overlane", &mut script);
    told("completions", printed(&script))
}

pub(crate) fn man(arguments: &Man, command: Command) -> Ending {
    let done = match &arguments.into {
        None => page(command).and_then(|page| printed(&page)),
        Some(into) => clap_mangen::generate_to(command, into)
            .map(|()| Ending::Done)
            .map_err(|error| not_written(&format!("{}: {error}", into.display()))),
    };
    told("man", done)
}

fn page(command: Command) -> Result<Vec<u8>, Failure> {
    let mut page = Vec::new();
    let rendered: io::Result<()> = clap_mangen::Man::new(command).render(&mut page);
    rendered.map_err(|error| not_written(&error.to_string()))?;
    Ok(page)
}

fn not_written(why: &str) -> Failure {
    let what = format!("the pages cannot be written ({why}): name a directory that is there");
    Failure::new(Ending::NotWritten, what)
}

fn printed(text: &[u8]) -> Result<Ending, Failure> {
    print(&String::from_utf8_lossy(text))?;
    Ok(Ending::Done)
}
