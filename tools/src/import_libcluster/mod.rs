//! `overlane import-libcluster`: the topologies of an Elixir configuration, printed as discoveries.
//!
//! `elixir` finds them in the file's syntax, `print` writes the configuration. What stands for what is the engine's
//! (`overlane::config`). The file is read, never run: what only running it would tell is named with its line.

#[cfg(test)]
mod check;
mod elixir;
mod print;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use overlane::config::Printable;

use crate::ending::{self, Ending, Failure, told};
use print::{BARE, printed};

/// Largest file: a configuration of Elixir has some KiB.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Prints the topologies of libcluster in an Elixir configuration as discoveries for overlane.toml.
///
/// Remarks name, with their lines, what has no counterpart and what was assumed. `System.get_env` gives the value that the
/// variable has now, or the default that is written with it.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The file, such as config/config.exs or config/runtime.exs.
    file: PathBuf,
}

pub(crate) fn run(arguments: &Arguments) -> Ending {
    told("import-libcluster", import(&arguments.file))
}

fn import(path: &Path) -> Result<Ending, Failure> {
    let shown = path.to_string_lossy();
    let shown = Printable(&shown);
    let refused = |what: String| Failure::new(Ending::BadInput, what);
    let text = read(path).map_err(|why| refused(format!("{shown}: {why}")))?;
    let found = elixir::topologies(&text, &|variable| std::env::var(variable).ok())
        .map_err(|why| refused(format!("{shown}: {why}")))?;
    if let (true, Some(line)) = (found.topologies.is_empty(), found.bare.first()) {
        return Err(refused(format!("{shown}: line {line}: {BARE}")));
    }
    if found.topologies.is_empty() {
        let what = format!(
            "{shown}: no topologies were found; expected something such as `config :libcluster, topologies: [name: [strategy: \
             Cluster.Strategy.Gossip]]`"
        );
        return Err(refused(what));
    }
    let (text, is_whole) = printed(&shown.to_string(), &found);
    ending::print(&text)?;
    Ok(if is_whole {
        Ending::Done
    } else {
        Ending::CheckFailed
    })
}

fn read(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| format!("{error}; name a file of Elixir"))?;
    let read = file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes);
    read.map_err(|error| format!("{error}; name a file of Elixir"))?;
    if u64::try_from(bytes.len()).is_ok_and(|bytes| bytes > FILE_BYTES_MAX) {
        return Err(format!(
            "it has more than {FILE_BYTES_MAX} bytes; expected a configuration"
        ));
    }
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8; expected a file of Elixir".to_owned())
}
