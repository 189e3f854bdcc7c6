//! The parameters of the flight recorder: how much it keeps, and what has it written to a file.

use std::path::PathBuf;

use super::super::allowed::{Allowed, Unit};
use super::super::parameter::{Group, Parameter, group};
use super::super::setting::Setting;
use super::Config;

group! {
    /// The flight recorder: what each thread of the node did last, for `overlane recording`.
    pub struct RecorderConfig in recorder as RECORDER;
    /// Entries that are kept of each thread; 0 records nothing.
    entries: usize = 4096;
        Unit::Count("entries"), Allowed::Number(0, 65_536);
        origin "short turns of a millisecond are one entry: some seconds under load, more without";
        cost "each is 48 bytes of each thread; more tell of a longer time";
    /// From when on a handler is slow: it is named, with what waited behind it.
    slow_handler_us: u64 = 1000;
        Unit::Microseconds, Allowed::Number(10, 60_000_000);
        origin "guess: ten turns' budgets";
        cost "lower names handlers that hold nobody up, and takes entries for it";
    /// Folder in which recordings are written when something panics, a lane ends badly, or a turn is too long; empty: none is.
    dir: PathBuf = PathBuf::new();
        Unit::None, Allowed::Described("the path of a folder, with a / in it, such as /var/lib/overlane");
        origin "a library writes nothing that it was not asked for";
        cost "a thread, which sleeps, and files, of which the oldest go";
    /// A turn that takes longer has a recording written; 0: none has.
    turn_us: u64 = 0;
        Unit::Microseconds, Allowed::Number(0, 60_000_000);
        origin "how long is too long, the application knows";
        cost "lower writes more files, one in ten seconds at most";
    /// Files that are kept in that folder.
    files_max: usize = 16;
        Unit::Count("files"), Allowed::Number(1, 1024);
        origin "guess: the last quarter of an hour of a bad day";
        cost "each is some hundred KiB, 16 MiB at most";
}
