//! The folder of one run: what is generated, received and reported in it, and what stays of it.
//!
//! Each run has its own, so that two at once do not touch each other's files. At the end, also of a run
//! that failed or was interrupted, only its report stays, and beside the run folders the newest one.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::{BenchError, Outcome};
use crate::interrupt;
use crate::shown;

/// The report of a run, in its folder and, of the newest run, in the folder above.
const REPORT: &str = "report.html";

/// A folder that only this run uses.
#[derive(Debug)]
pub(crate) struct RunFolder {
    path: PathBuf,
    above: PathBuf,
    keep_all: bool,
}

impl RunFolder {
    /// Makes one in `above`, which is made too where it is missing.
    pub(crate) fn make(above: &Path) -> Outcome<Self> {
        fs::create_dir_all(above).map_err(BenchError::file("create", above))?;
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let name = format!(
            "run-{}-{}",
            since.unwrap_or_default().as_millis(),
            std::process::id()
        );
        let path = above.join(name);
        let mut remains = interrupt::remains();
        fs::create_dir(&path).map_err(BenchError::file("create", &path))?;
        remains.add_folder(&path);
        Ok(Self {
            path,
            above: above.to_owned(),
            keep_all: false,
        })
    }

    /// Where a file of the run is.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Nothing is removed: there is something to look at.
    pub(crate) fn keep_all(&mut self) {
        self.keep_all = true;
    }

    /// Writes the report of this run, and makes it the newest; where it is.
    pub(crate) fn publish(&self, page: &str) -> Outcome<PathBuf> {
        let own = self.file(REPORT);
        fs::write(&own, page).map_err(BenchError::file("write", &own))?;
        // In one step, so that who reads it while another run ends sees one of the two.
        let (copy, newest) = (self.file("newest.html"), self.above.join(REPORT));
        fs::copy(&own, &copy).map_err(BenchError::file("write", &copy))?;
        fs::rename(&copy, &newest).map_err(BenchError::file("write", &newest))?;
        Ok(own)
    }

    fn remove_all_but_the_report(&self) -> std::io::Result<()> {
        for entry in fs::read_dir(&self.path)? {
            let path = entry?.path();
            if path.file_name().is_none_or(|name| name != REPORT) {
                fs::remove_file(path)?;
            }
        }
        if self.file(REPORT).exists() {
            return Ok(());
        }
        fs::remove_dir(&self.path)
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        let removed = if self.keep_all {
            Ok(())
        } else {
            self.remove_all_but_the_report()
        };
        if let Err(error) = removed {
            shown::complain(format_args!(
                "cannot remove the files in {}: {error}; remove them by hand",
                self.path.display()
            ));
        }
        interrupt::remains().forget_folder(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    fn above(name: &str) -> PathBuf {
        let name = format!("overlane-bench-run-folder-{name}-{}", std::process::id());
        std::env::temp_dir().join(name)
    }

    #[test]
    fn only_the_report_stays_and_it_is_the_newest() {
        let above = above("report");
        let run = RunFolder::make(&above).unwrap();
        fs::write(run.file("received.bin"), b"content").unwrap();
        let own = run.publish("<p>one</p>").unwrap();
        drop(run);
        assert_eq!(fs::read_to_string(&own).unwrap(), "<p>one</p>");
        let left = fs::read_dir(own.parent().unwrap()).unwrap().count();
        assert_eq!(left, 1);
        let newest = fs::read_to_string(above.join(REPORT)).unwrap();
        assert_eq!(newest, "<p>one</p>");
        fs::remove_dir_all(&above).unwrap();
    }

    #[test]
    fn a_run_without_a_report_leaves_nothing_and_one_to_look_at_leaves_all() {
        let above = above("nothing");
        let run = RunFolder::make(&above).unwrap();
        fs::write(run.file("received.bin"), b"content").unwrap();
        drop(run);
        assert_eq!(fs::read_dir(&above).unwrap().count(), 0);
        let mut run = RunFolder::make(&above).unwrap();
        let bad = run.file("received.bin");
        fs::write(&bad, b"content").unwrap();
        run.keep_all();
        drop(run);
        assert!(bad.exists());
        fs::remove_dir_all(&above).unwrap();
    }

    #[test]
    fn a_folder_that_cannot_be_made_says_why() {
        let file = above("file");
        fs::write(&file, b"").unwrap();
        let beneath = file.join("beneath");
        for folder in [file.as_path(), beneath.as_path()] {
            let error = RunFolder::make(folder).unwrap_err();
            assert_eq!(error.exit(), Exit::Output);
            assert!(error.to_string().contains("not a folder"), "{error}");
        }
        fs::remove_file(&file).unwrap();
    }
}
