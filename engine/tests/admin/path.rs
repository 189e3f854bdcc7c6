//! The socket's file: its mode, and what is there before it.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::time::Duration;

use overlane::admin::{Answer, Request};
use overlane::{AdminError, StartError};

use super::{Folder, ask, builder, start};

#[test]
fn only_its_owner_may_open_it() {
    let folder = Folder::new();
    let node = start("a", &folder.socket("a"), &[]);
    let file = fs::symlink_metadata(folder.socket("a")).expect("it is there");
    assert_eq!(file.permissions().mode() & 0o777, 0o600);
    drop(node);
    assert!(
        !folder.socket("a").exists(),
        "a node that is dropped removes it too"
    );
}

#[test]
fn what_a_dead_process_left_is_replaced() {
    let folder = Folder::new();
    let socket = folder.socket("a");
    // A listener that is dropped leaves its file, as a process that is killed does.
    drop(UnixListener::bind(&socket).expect("a free path"));
    assert!(socket.exists());
    let node = start("a", &socket, &[]);
    assert!(matches!(
        ask(&socket, &Request::Status {}),
        Answer::Status(_)
    ));
    drop(node);
}

#[test]
fn one_that_is_served_is_left_alone() {
    let folder = Folder::new();
    let socket = folder.socket("a");
    let first = start("a", &socket, &[]);
    let second = builder("b", &socket, &[]).start();
    match second {
        Err(StartError::Admin(error @ AdminError::InUse { .. })) => {
            assert!(error.to_string().contains("another path"), "{error}");
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(
        ask(&socket, &Request::Status {}),
        Answer::Status(_)
    ));
    drop(first);
    // Also one whose process does not get to it.
    let hung = UnixListener::bind(&socket).expect("a free path");
    let refused = builder("b", &socket, &[]).start();
    assert!(
        matches!(refused, Err(StartError::Admin(AdminError::InUse { .. }))),
        "{refused:?}"
    );
    drop(hung);
}

#[test]
fn of_nodes_that_start_at_a_time_one_has_it() {
    let folder = Folder::new();
    let socket = folder.socket("a");
    drop(UnixListener::bind(&socket).expect("a free path"));
    let starting: Vec<_> = (0..4)
        .map(|number| builder(&format!("n{number}"), &socket, &[]))
        .map(|builder| std::thread::spawn(move || builder.start()))
        .collect();
    let started: Vec<_> = starting
        .into_iter()
        .map(|starting| starting.join().expect("no panic"))
        .collect();
    let had_it: Vec<_> = started.iter().flatten().collect();
    assert_eq!(had_it.len(), 1, "{started:?}");
    match ask(&socket, &Request::Status {}) {
        Answer::Status(status) => assert_eq!(status.node, had_it[0].name()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_no_socket_is_left_alone() {
    let folder = Folder::new();
    let socket = folder.socket("a");
    fs::write(&socket, "mine").expect("there is room");
    let error = builder("a", &socket, &[])
        .start()
        .expect_err("a file is there");
    assert!(error.to_string().contains("is no socket"), "{error}");
    assert_eq!(fs::read(&socket).expect("it is there"), b"mine");
    let nowhere = folder.0.join("no/where.sock");
    let error = builder("a", &nowhere, &[])
        .start()
        .expect_err("there is no folder");
    assert!(
        error.to_string().contains("its folder must exist"),
        "{error}"
    );
}

#[test]
fn one_that_is_another_s_by_now_is_not_removed() {
    let folder = Folder::new();
    let socket = folder.socket("a");
    let node = start("a", &socket, &[]);
    fs::rename(&socket, folder.0.join("moved")).expect("it can be moved");
    let other = UnixListener::bind(&socket).expect("a free path");
    let number = fs::symlink_metadata(&socket).expect("it is there").ino();
    drop(node.stop(Duration::from_secs(10)));
    let there = fs::symlink_metadata(&socket).expect("it is still there");
    assert_eq!(there.ino(), number);
    drop(other);
}
