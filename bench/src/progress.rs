//! What a waiting person sees: one line on the terminal, nothing where there is no terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// The progress line of one run; goes away when the run ends.
#[derive(Debug)]
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// A line for `steps` windows or rounds. indicatif hides it where stderr is no terminal.
    pub(crate) fn of_steps(title: &str, steps: u64) -> Self {
        Self::with(
            "{spinner} {prefix}  {bar:30} {pos}/{len}  {msg}  {elapsed}",
            title,
            steps,
        )
    }

    /// A line for `bytes` of a transfer.
    pub(crate) fn of_bytes(title: &str, bytes: u64) -> Self {
        let template = "{spinner} {prefix}  {bar:30} {bytes}/{total_bytes}  {msg}  {elapsed}";
        Self::with(template, title, bytes)
    }

    fn with(template: &str, title: &str, length: u64) -> Self {
        let bar = ProgressBar::new(length);
        let style = ProgressStyle::with_template(template).expect("the template is a constant");
        bar.set_style(style);
        bar.set_prefix(title.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(bar)
    }

    /// Says what is being done now.
    pub(crate) fn say(&self, doing: impl Into<String>) {
        self.0.set_message(doing.into());
    }

    /// One step is done.
    pub(crate) fn step(&self) {
        self.0.inc(1);
    }

    /// So much is done.
    pub(crate) fn reach(&self, position: u64) {
        self.0.set_position(position);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
