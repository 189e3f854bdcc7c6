//! Each thing that keeps a node from starting is said in one sentence, with how to fix it.

use overlane::config::{ChannelConfig, Config, IoChoice};
use overlane::preflight::{
    self, Check, Limit, Outcome, Readings, RingFailure, judge, uring_failure,
};

/// A machine on which every check passes.
fn good() -> Readings {
    Readings {
        kernel_release: "6.1.0-18-amd64".to_string(),
        io_uring_disabled: Some(0),
        ring: Ok(Vec::new()),
        memlock: Limit {
            soft: 8 << 20,
            hard: 8 << 20,
        },
        files: Limit {
            soft: 1 << 20,
            hard: 1 << 20,
        },
        files_open: 3,
        cores_usable: vec![0, 1],
        parallelism: 2,
        address_space: Limit {
            soft: libc::RLIM_INFINITY,
            hard: libc::RLIM_INFINITY,
        },
        address_space_used: 64 << 20,
        data: Limit {
            soft: libc::RLIM_INFINITY,
            hard: libc::RLIM_INFINITY,
        },
        data_used: 32 << 20,
        listen_error: None,
    }
}

/// A configuration that takes nothing but io_uring.
fn uring() -> Config {
    Config {
        io: IoChoice::Uring,
        ..Config::default()
    }
}

fn outcome(checks: &[Check], name: &str) -> Outcome {
    let check = checks.iter().find(|check| check.name == name);
    check
        .unwrap_or_else(|| panic!("no check {name}"))
        .outcome
        .clone()
}

/// The sentence of a failed check.
fn failure(config: &Config, readings: &Readings, name: &str) -> String {
    match outcome(&judge(config, readings), name) {
        Outcome::Fail(failure) => failure.to_string(),
        other => panic!("{name}: {other:?}"),
    }
}

fn warning(config: &Config, readings: &Readings, name: &str) -> String {
    match outcome(&judge(config, readings), name) {
        Outcome::Warn(text) => text,
        other => panic!("{name}: {other:?}"),
    }
}

fn detail(config: &Config, readings: &Readings, name: &str) -> String {
    match outcome(&judge(config, readings), name) {
        Outcome::Ok(text) => text,
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn a_good_machine_passes_every_check() {
    for check in judge(&Config::default(), &good()) {
        assert!(matches!(check.outcome, Outcome::Ok(_)), "{check:?}");
    }
}

#[test]
fn a_kernel_that_is_too_old_fails_and_an_unreadable_release_warns() {
    let release = |text: &str| Readings {
        kernel_release: text.into(),
        ..good()
    };
    let config = uring();
    for old in ["5.15.0", "6.0.19", "2.6.32-754"] {
        let sentence = failure(&config, &release(old), "kernel");
        assert!(
            sentence.contains(old) && sentence.contains("boot Linux 6.1"),
            "{sentence}"
        );
    }
    for new in ["6.1", "6.1.0", "6.18.44-fc-v657", "7.0-rc1", "10.2.1+"] {
        assert_eq!(
            detail(&config, &release(new), "kernel"),
            format!("Linux {new}")
        );
    }
    for strange in ["", "six", "6"] {
        assert!(warning(&config, &release(strange), "kernel").contains("6.1"));
    }
}

#[test]
fn io_uring_that_is_disabled_fails_only_if_it_is_so_for_this_process() {
    let config = uring();
    let forbidden = Err(RingFailure::Setup(libc::EPERM));
    for (value, words) in [(1, "io_uring_group"), (2, "all processes")] {
        let disabled = Readings {
            io_uring_disabled: Some(value),
            ring: forbidden.clone(),
            ..good()
        };
        let sentence = failure(&config, &disabled, "io_uring_disabled");
        assert!(
            sentence.contains("sysctl kernel.io_uring_disabled=0"),
            "{sentence}"
        );
        assert!(sentence.contains(words), "{sentence}");
        assert!(failure(&config, &disabled, "io_uring").contains("kernel.io_uring_disabled"));
        let privileged = Readings {
            io_uring_disabled: Some(value),
            ..good()
        };
        assert!(detail(&config, &privileged, "io_uring_disabled").contains("may use io_uring"));
    }
    let before_6_6 = Readings {
        io_uring_disabled: None,
        ..good()
    };
    assert!(detail(&config, &before_6_6, "io_uring_disabled").contains("has no"));
}

#[test]
fn each_failure_of_the_ring_says_how_to_fix_it() {
    for (cause, remedy) in [
        (RingFailure::Setup(libc::EPERM), "seccomp profile"),
        (RingFailure::Setup(libc::EACCES), "seccomp profile"),
        (RingFailure::Setup(libc::ENOSYS), "CONFIG_IO_URING"),
        (RingFailure::Setup(libc::EINVAL), "boot Linux 6.1"),
        (RingFailure::Setup(libc::ENOMEM), "lower data_ring_entries"),
        (RingFailure::Setup(libc::EMFILE), "ulimit -n"),
        (RingFailure::Setup(libc::EIO), "man 2 io_uring_setup"),
        (RingFailure::Enter(libc::EPERM), "allow io_uring_enter too"),
        (RingFailure::Probe(libc::EPERM), "allow io_uring_register"),
        (RingFailure::BufferRing(libc::EINVAL), "boot Linux 6.1"),
        (RingFailure::BufferRing(libc::ENOMEM), "ulimit -l"),
        (RingFailure::RingDescriptor(libc::EINVAL), "boot Linux 6.1"),
    ] {
        let readings = Readings {
            ring: Err(cause),
            ..good()
        };
        let sentence = failure(&uring(), &readings, "io_uring");
        assert!(sentence.contains(remedy), "{cause:?}: {sentence}");
    }
    let missing = Readings {
        ring: Ok(vec!["recv", "send"]),
        ..good()
    };
    assert!(failure(&uring(), &missing, "io_uring").contains("recv, send"));
}

#[test]
fn too_little_lockable_memory_fails_and_barely_enough_warns() {
    let config = Config {
        shards: 3,
        ..uring()
    };
    let with = |soft, hard| Readings {
        memlock: Limit { soft, hard },
        ..good()
    };
    for hard in [0, 64 << 10] {
        let sentence = failure(&config, &with(hard, hard), "memlock");
        let parts = [
            &format!("only {} KiB", hard >> 10),
            "asks for 512",
            "to 576 KiB",
            "ulimit -l",
        ];
        for part in parts {
            assert!(sentence.contains(part), "{sentence:?} lacks {part:?}");
        }
    }
    let text = warning(&config, &with(512 << 10, 512 << 10), "memlock");
    assert!(
        text.contains("512 KiB") && text.contains("576 KiB"),
        "{text}"
    );
    let two = Config {
        shards: 2,
        ..config.clone()
    };
    assert!(detail(&two, &with(512 << 10, 512 << 10), "memlock").contains("512 KiB needed"));
    let text = detail(&config, &with(64 << 10, 8 << 20), "memlock");
    assert!(text.contains("64 KiB now, which a start raises"), "{text}");
    let text = detail(
        &config,
        &with(libc::RLIM_INFINITY, libc::RLIM_INFINITY),
        "memlock",
    );
    assert!(text.contains("unlimited"), "{text}");
}

/// Machines on which shards cannot use io_uring, and a word of the reason.
fn without_uring() -> [(Readings, &'static str); 4] {
    let old = Readings {
        kernel_release: "5.15.0".into(),
        ..good()
    };
    let filtered = Readings {
        ring: Err(RingFailure::Setup(libc::EPERM)),
        ..good()
    };
    let enter_alone = Readings {
        ring: Err(RingFailure::Enter(libc::EPERM)),
        ..good()
    };
    let unlockable = Readings {
        memlock: Limit { soft: 0, hard: 0 },
        ..good()
    };
    [
        (old, "5.15.0"),
        (filtered, "io_uring_setup is forbidden"),
        (enter_alone, "io_uring_enter fails"),
        (unlockable, "memory can be locked"),
    ]
}

#[test]
fn without_io_uring_auto_warns_what_poll_costs_and_how_to_have_it() {
    let auto = Config::default();
    assert_eq!(uring_failure(&auto, &good()), None);
    for (readings, word) in without_uring() {
        let checks = judge(&auto, &readings);
        let warnings = checks.iter().filter_map(|check| match &check.outcome {
            Outcome::Warn(text) => Some(text),
            Outcome::Fail(failure) => panic!("{}: {failure}", check.name),
            Outcome::Ok(_) => None,
        });
        let warnings: Vec<_> = warnings.collect();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        for words in [
            word,
            "use poll instead of io_uring",
            "costs",
            "set io to poll",
        ] {
            assert!(warnings[0].contains(words), "{words}: {}", warnings[0]);
        }
        let failure = uring_failure(&auto, &readings).expect("it cannot be used");
        assert!(failure.what.contains(word), "{failure}");
        // Who wants nothing else is not started.
        let checks = judge(&uring(), &readings);
        assert!(
            checks
                .iter()
                .any(|check| check.outcome == Outcome::Fail(failure.clone()))
        );
    }
}

#[test]
fn poll_needs_nothing_of_io_uring() {
    let poll = Config {
        io: IoChoice::Poll,
        ..Config::default()
    };
    for (readings, _) in without_uring() {
        for check in judge(&poll, &readings) {
            assert!(matches!(check.outcome, Outcome::Ok(_)), "{check:?}");
        }
    }
    // A filter may end the process that tries.
    let readings = Readings::take(&poll);
    assert_eq!(readings.ring, Err(RingFailure::NotTried));
}

#[test]
fn too_little_memory_fails_by_what_the_configuration_needs() {
    let mut config = Config {
        shards: 2,
        ..Config::default()
    };
    let with = |soft| Readings {
        address_space: Limit {
            soft,
            hard: libc::RLIM_INFINITY,
        },
        ..good()
    };
    let sentence = failure(&config, &with(100 << 20), "memory");
    for part in [
        "limited to 100 MiB",
        "36 are left",
        "2 shards",
        "ulimit -v",
        "LimitAS=",
    ] {
        assert!(sentence.contains(part), "{sentence:?} lacks {part:?}");
    }
    assert!(detail(&config, &with(1 << 30), "memory").contains("960 left"));
    config.channels = vec![ChannelConfig::new("data").ring_bytes(512_usize << 20)];
    assert!(failure(&config, &with(1 << 30), "memory").contains("lower shards, ring_bytes"));
    assert!(detail(&config, &good(), "memory").contains("unlimited"));
    let data = Readings {
        data: Limit {
            soft: 100 << 20,
            hard: 100 << 20,
        },
        ..with(1 << 40)
    };
    let sentence = failure(&config, &data, "memory");
    for part in [
        "limited to 100 MiB",
        "68 are left",
        "ulimit -d",
        "LimitDATA=",
    ] {
        assert!(sentence.contains(part), "{sentence:?} lacks {part:?}");
    }
}

#[test]
fn too_few_open_files_for_the_configured_peers_fails_and_for_the_limit_warns() {
    let mut config = Config {
        shards: 2,
        ..Config::default()
    };
    config.channels = vec![ChannelConfig::new("data").parallelism(4)];
    for number in 0..10_u16 {
        let address = ([127, 0, 0, 1], 7000 + number).into();
        config.peers.insert(format!("peer-{number}"), address);
    }
    // 3 are open, two shards take 8 each, 10 peers have a control lane each; their channels' lanes come and go.
    let with = |soft, hard| Readings {
        files: Limit { soft, hard },
        ..good()
    };
    let sentence = failure(&config, &with(28, 28), "open_files");
    assert!(
        sentence.contains("only 28") && sentence.contains("need 29"),
        "{sentence}"
    );
    assert!(sentence.contains("ulimit -n"), "{sentence}");
    let text = warning(&config, &with(29, 29), "open_files");
    assert!(text.contains("connections_max = 16384"), "{text}");
    assert!(
        !text.contains("raise_open_files"),
        "there is nothing to raise: {text}"
    );
    // What can be raised is not raised unasked.
    let sentence = failure(&config, &with(28, 1 << 20), "open_files");
    assert!(sentence.contains("raise_open_files = true"), "{sentence}");
    let text = warning(&config, &with(1024, 1 << 20), "open_files");
    assert!(text.contains("raise_open_files = true"), "{text}");
    config.raise_open_files = true;
    let text = detail(&config, &with(28, 1 << 20), "open_files");
    assert!(
        text.contains("16403 wanted, 28 now, which a start raises while the node runs"),
        "{text}"
    );
}

#[test]
fn a_quota_bounds_the_shards_and_is_named() {
    let readings = Readings {
        cores_usable: vec![0, 1, 2, 3],
        parallelism: 1,
        ..good()
    };
    assert_eq!(
        detail(&Config::default(), &readings, "cores"),
        "shards: 1, not pinned, because a CPU quota allows 1 of 4 cores"
    );
}

#[test]
fn a_core_that_does_not_exist_fails_and_too_many_shards_warn() {
    let config = Config {
        cores: vec![0, 4096],
        ..Config::default()
    };
    let sentence = failure(&config, &good(), "cores");
    assert!(
        sentence.contains("core 4096") && sentence.contains("from 0,1"),
        "{sentence}"
    );
    let config = Config {
        shards: 3,
        ..Config::default()
    };
    assert!(warning(&config, &good(), "cores").contains("3 shards share 2 cores"));
    let config = Config {
        pin: Some(false),
        ..Config::default()
    };
    assert_eq!(detail(&config, &good(), "cores"), "shards: 2, not pinned");
    let config = Config {
        cores: vec![1],
        ..Config::default()
    };
    assert_eq!(detail(&config, &good(), "cores"), "shards: 1, on cores 1");
}

#[test]
fn an_address_that_cannot_be_listened_on_fails_by_its_reason() {
    for (number, remedy) in [
        (libc::EADDRINUSE, "ss -ltnp"),
        (libc::EADDRNOTAVAIL, "ip address"),
        (libc::EACCES, "CAP_NET_BIND_SERVICE"),
        (libc::EAFNOSUPPORT, "another address"),
    ] {
        let readings = Readings {
            listen_error: Some(number),
            ..good()
        };
        let sentence = failure(&Config::default(), &readings, "listen");
        assert!(
            sentence.contains("127.0.0.1:7400") && sentence.contains(remedy),
            "{sentence}"
        );
    }
}

#[test]
fn no_sentence_spans_lines_and_each_failure_has_a_remedy() {
    let bad = Readings {
        kernel_release: "4.4.0".into(),
        io_uring_disabled: Some(2),
        ring: Err(RingFailure::Setup(libc::EPERM)),
        memlock: Limit { soft: 0, hard: 0 },
        files: Limit { soft: 0, hard: 0 },
        files_open: 3,
        cores_usable: vec![],
        parallelism: 1,
        address_space: Limit { soft: 0, hard: 0 },
        address_space_used: 64 << 20,
        data: Limit {
            soft: libc::RLIM_INFINITY,
            hard: libc::RLIM_INFINITY,
        },
        data_used: 32 << 20,
        listen_error: Some(libc::EADDRINUSE),
    };
    let config = Config {
        cores: vec![9],
        ..uring()
    };
    for check in judge(&config, &bad) {
        let Outcome::Fail(failure) = check.outcome else {
            panic!("{check:?}")
        };
        assert!(!failure.to_string().contains(['\n', '\t']) && !failure.remedy.is_empty());
        assert!(!failure.to_string().contains("  "), "{failure}");
    }
}

#[test]
fn a_port_that_this_machine_has_in_use_is_found() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let listen = taken.local_addr().expect("its address");
    let config = Config {
        listen,
        ..Config::default()
    };
    let check = outcome(&preflight::checks(&config), "listen");
    let Outcome::Fail(failure) = check else {
        panic!("{check:?}")
    };
    assert!(failure.what.contains(&listen.to_string()), "{failure}");
    assert_eq!(
        preflight::start(&config).map(|machine| machine.checks),
        Err(failure),
        "a start says the same"
    );
}

#[test]
fn checks_leave_no_descriptor_open() {
    let config = Config {
        listen: ([127, 0, 0, 1], 0).into(),
        ..Config::default()
    };
    let open = || {
        std::fs::read_dir("/proc/self/fd")
            .expect("it is there")
            .count()
    };
    // Other tests of this process open and close theirs meanwhile, so look for a trend.
    let before = open();
    for _ in 0..100 {
        assert_eq!(preflight::checks(&config).len(), 8);
    }
    assert!(
        open() < before + 50,
        "a descriptor leaks with each run of the checks"
    );
}
