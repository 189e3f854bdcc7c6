//! The main job as a user runs it: what it shows, what it leaves behind, and how it ends.

mod children;

use std::fs;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use children::{children_of, wait_until};

/// A machine that is busy with other tests is slow, and heartbeats on it are late.
const SMALL: [&str; 9] = [
    "--json",
    "--file-mib",
    "8",
    "--quiet-seconds",
    "0.3",
    "--chunk-kib",
    "64",
    "--heartbeat-bound-us",
    "4000000000",
];
fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_overlane-bench"));
    command.arg("--folder").arg(folder).args(arguments);
    command
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    command(folder, arguments).output().expect("it starts")
}

/// A folder of the test's own.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("overlane-bench-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a temporary folder can be made");
        Self(path)
    }

    /// All files in it and its folders, and how many bytes they have.
    fn files(&self) -> Vec<(PathBuf, u64)> {
        let mut files = Vec::new();
        let mut folders = vec![self.0.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("the folder is there") {
                let entry = entry.expect("an entry can be read");
                let found = entry.metadata().expect("an entry is there");
                if found.is_dir() {
                    folders.push(entry.path());
                } else {
                    files.push((entry.path(), found.len()));
                }
            }
        }
        files
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn objects(output: &Output) -> Vec<serde_json::Value> {
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8(output.stdout.clone()).expect("JSON is text");
    text.lines()
        .map(|line| serde_json::from_str(line).expect("one object a line"))
        .collect()
}

fn accounted_for(objects: &[serde_json::Value]) {
    let tests: Vec<&str> = objects
        .iter()
        .filter_map(|object| object["test"].as_str())
        .collect();
    let wanted = ["main-job-data", "main-job-coordination", "main-job-gossip"];
    assert_eq!(tests, wanted);
    let [data, coordination, gossip] = objects else {
        panic!("{objects:?}")
    };
    // A start, 128 chunks, an end.
    assert_eq!(data["accepted"], 130);
    assert_eq!(data["acknowledged"], data["accepted"]);
    assert_eq!(data["delivered"], data["accepted"]);
    assert_eq!(coordination["delivered"], coordination["accepted"]);
    let heartbeats = coordination["accepted"].as_u64();
    assert!(heartbeats.is_some_and(|count| count > 100));
    assert!(gossip["delivered"].as_u64().is_some_and(|count| count > 0));
}

#[test]
fn it_moves_a_file_accounts_for_everything_and_leaves_its_report() {
    let folder = Folder::new("main-job");
    accounted_for(&objects(&run(&folder.0, &SMALL)));
    let newest = folder.0.join("report.html");
    let report = fs::read_to_string(&newest).expect("a report is written");
    assert!(report.contains("passed") && report.matches("<svg").count() == 3);
    let files = folder.files();
    let reports = files
        .iter()
        .filter(|(path, _)| path.ends_with("report.html"));
    assert_eq!((files.len(), reports.count()), (2, 2), "{files:?}");
}

#[test]
fn two_at_once_in_one_folder_do_not_touch_each_other() {
    let folder = Folder::new("two");
    let start = || {
        let mut command = command(&folder.0, &SMALL);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("it starts")
    };
    for both in [start(), start()].map(Child::wait_with_output) {
        accounted_for(&objects(&both.expect("it ends")));
    }
    let files = folder.files();
    assert_eq!(files.len(), 3, "two reports and the newest: {files:?}");
}

#[test]
fn an_interruption_in_the_transfer_leaves_nothing_behind() {
    let folder = Folder::new("interrupt");
    let long = ["--file-mib", "2048", "--quiet-seconds", "0.1"];
    let mut command = command(&folder.0, &long);
    let mut running = command.stderr(Stdio::piped()).spawn().expect("it starts");
    let id = running.id();
    wait_until("the transfer", || {
        let files = folder.files();
        let received =
            |(path, bytes): &(PathBuf, u64)| path.ends_with("received.bin") && *bytes > 0;
        files.iter().any(received)
    });
    assert_eq!(children_of(id).len(), 3);
    let signalled = Command::new("kill")
        .args(["-INT", &id.to_string()])
        .status();
    assert!(signalled.is_ok_and(|status| status.success()));
    let ended = running.wait().expect("it ends");
    let mut said = String::new();
    let mut stderr = running.stderr.take().expect("it was asked to be a pipe");
    stderr.read_to_string(&mut said).expect("messages are text");
    assert_eq!(ended.code(), Some(130), "{said}");
    assert!(said.contains("interrupted by SIGINT"), "{said}");
    assert_eq!(children_of(id), Vec::<String>::new());
    assert_eq!(folder.files(), []);
    let left = fs::read_dir(&folder.0)
        .expect("the folder is there")
        .count();
    assert_eq!(left, 0, "no folder of the run either");
}

#[test]
fn what_cannot_be_sent_is_refused_with_its_true_cause() {
    let folder = Folder::new("file");
    let (empty, fifo) = (folder.0.join("empty"), folder.0.join("fifo"));
    fs::write(&empty, b"").expect("a file can be made");
    let made = Command::new("mkfifo").arg(&fifo).status();
    assert!(made.is_ok_and(|status| status.success()));
    let beneath = empty.join("beneath");
    for (path, said) in [
        (Path::new("/no/such/file"), "there is no such file"),
        (&folder.0, "this is a folder"),
        (&empty, "the file is empty"),
        (&fifo, "no regular file"),
        (Path::new("/dev/zero"), "no regular file"),
        (&beneath, "Not a directory"),
    ] {
        let output = run(&folder.0.join("run"), &["--file", &path.to_string_lossy()]);
        let message = refused(&output, 2);
        assert!(message.contains(said), "{message}");
        assert!(message.contains(&*path.to_string_lossy()), "{message}");
    }
}

#[test]
fn an_output_folder_that_cannot_be_made_is_told_by_its_cause() {
    let folder = Folder::new("output");
    let file = folder.0.join("file");
    fs::write(&file, b"").expect("a file can be made");
    for path in [&file, &file.join("beneath")] {
        let message = refused(&run(path, &SMALL), 4);
        assert!(message.contains("not a folder"), "{message}");
        assert!(!message.contains("space"), "{message}");
    }
}

#[test]
fn what_this_user_may_not_do_is_told_as_that() {
    // Root may do everything: ask as another user.
    let root =
        fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    let folder = Folder::new("permission");
    let file = folder.0.join("secret");
    fs::write(&file, b"content").expect("a file can be made");
    let mode = |path: &Path, mode| {
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
        fs::set_permissions(path, permissions).expect("a mode can be set");
    };
    mode(&file, 0o000);
    mode(&folder.0, 0o555);
    let ask = |arguments: &[&str]| {
        let mut command = command(&folder.0.join("run"), arguments);
        if root {
            command.uid(65_534).gid(65_534);
        }
        command.output()
    };
    let Ok(output) = ask(&SMALL) else {
        println!("skipped: another user may not run the binary of this build");
        return;
    };
    let message = refused(&output, 4);
    assert!(message.contains("permissions"), "{message}");
    assert!(!message.contains("space"), "{message}");
    let output = ask(&["--file", &file.to_string_lossy()]).expect("it started before");
    let message = refused(&output, 2);
    assert!(message.contains("Permission denied"), "{message}");
    mode(&folder.0, 0o755);
}

fn refused(output: &Output, code: i32) -> String {
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{message}");
    assert!(output.stdout.is_empty(), "{output:?}");
    assert_eq!(message.lines().count(), 1, "{message}");
    message
}
