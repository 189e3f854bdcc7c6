//! Making a shard: its thread, its executor, its ring, and the loop on it.

use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use glommio::{LocalExecutorBuilder, Placement};

use super::absence::Absences;
use super::channels::ShardChannels;
use super::command::{Command, CommandSender};
use super::connection::Connections;
use super::context::ShardHandle;
use super::deliver::Receivers;
use super::dial::Dialing;
use super::faults::ShardFaults;
use super::intake::Intake;
use super::newcomers::Newcomers;
use super::packing::Packing;
use super::reach::Reaching;
use super::recording::ShardRecording;
use super::renewal::Renewals;
use super::route::Routing;
use super::sending::Sending;
use super::sweep::Sweeper;
use super::tally::ShardTally;
use super::tasks::TaskRequests;
use super::timers::{Deadline, Timers};
use super::{Core, OwnNames, Shard, turn};
use crate::control::Control;
use crate::control::link::ControlLink;
use crate::error::StartError;
use crate::fabric::Fabric;
use crate::io::backend::{Backend, ShardIo};
use crate::threads::EngineThread;
use crate::wire::Name;

/// Memory glommio registers for file I/O on each of its three rings; the network code uses none of
/// it, and glommio's default is above the usual limit of locked memory.
const EXECUTOR_IO_BYTES: usize = 64 << 10;
/// glommio's own rings serve nothing but the executor itself.
const EXECUTOR_RING_DEPTH: usize = 16;
/// What a shard's thread is given.
pub(crate) struct ShardSeat {
    pub(crate) index: usize,
    pub(crate) core: Option<usize>,
    pub(crate) fabric: Arc<Fabric>,
    pub(crate) commands: Receiver<Command>,
    /// To every shard of the node, by its index.
    pub(crate) shards: Vec<CommandSender>,
    pub(crate) control_link: Arc<ControlLink>,
    pub(crate) listener: OwnedFd,
    /// The control shard, when it lives here.
    pub(crate) control: Option<Control>,
}

/// Starts the thread and waits until the shard is set up.
pub(crate) fn start(seat: ShardSeat) -> Result<EngineThread, StartError> {
    let shard = seat.index;
    let failed = |reason: String| StartError::Shard { shard, reason };
    let (ready, started) = bounded(1);
    let control = Arc::clone(&seat.control_link);
    control.shard_starts(shard);
    let thread = EngineThread::start(format!("overlane-{shard}"), move || live(seat, &ready))
        .map_err(|error| {
            control.shard_ended(shard);
            failed(format!(
                "its thread could not be made ({error}), so raise the limit of threads (`ulimit -u`, \
                 TasksMax= of the service)"
            ))
        })?;
    match started.recv() {
        Ok(Ok(())) => Ok(thread),
        Ok(Err(reason)) => {
            thread.join();
            Err(failed(reason))
        }
        Err(_) => {
            thread.join();
            Err(failed("its thread ended while it was set up".to_owned()))
        }
    }
}

/// Runs the shard on its thread. A panic closes the node's gates, so that senders get an error.
fn live(seat: ShardSeat, ready: &Sender<Result<(), String>>) {
    let fabric = Arc::clone(&seat.fabric);
    let control = Arc::clone(&seat.control_link);
    let index = seat.index;
    let Err(ended) = unwound(|| execute(seat, ready)) else {
        return;
    };
    // While the shard is being set up, the thread that starts it receives the reason; later nobody
    // listens.
    drop(ready.try_send(Err(ended.clone())));
    tracing::error!(shard = index, reason = %ended, "a shard has ended: this node closes its channels");
    fabric.shard_failed();
    control.shard_ended(index);
}

fn execute(seat: ShardSeat, ready: &Sender<Result<(), String>>) -> Result<(), String> {
    if let Some(core) = seat.core
        && !core_affinity::set_for_current(core_affinity::CoreId { id: core })
    {
        return Err(format!("it could not be pinned to core {core}"));
    }
    // glommio's executor is made of io_uring. Nothing in the loop needs it.
    if seat.fabric.backend == Backend::Poll {
        return live_on_thread(seat, ready);
    }
    let executor = LocalExecutorBuilder::new(Placement::Unbound)
        .name("overlane")
        .io_memory(EXECUTOR_IO_BYTES)
        .ring_depth(EXECUTOR_RING_DEPTH)
        .make()
        .map_err(|error| format!("its executor could not be made: {error}"))?;
    // The shard is the executor's only task and never waits in it: it sleeps in its own ring. A panic
    // ends inside the task, or the executor would keep the shard, and its sockets, for ever.
    executor.run(async move { unwound(|| live_on_thread(seat, ready)) })
}

/// A panic as an error.
fn unwound(life: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(life)).unwrap_or_else(|_| Err("it panicked".to_owned()))
}

fn live_on_thread(seat: ShardSeat, ready: &Sender<Result<(), String>>) -> Result<(), String> {
    let fabric = Arc::clone(&seat.fabric);
    let control_link = Arc::clone(&seat.control_link);
    let index = seat.index;
    let shard =
        Shard::new(seat).map_err(|error| format!("its backend could not be made: {error}"))?;
    let handle = ShardHandle {
        shard: Rc::new(RefCell::new(shard)),
        fabric: Arc::clone(&fabric),
        index,
    };
    // Whoever starts the shard waits for this.
    drop(ready.send(Ok(())));
    let ended = turn::run(&handle).map_err(|error| format!("its backend failed: {error}"));
    if control_link.shard_ended(index) {
        fabric.end();
    }
    let control = handle.shard.borrow_mut().core.control.take();
    if let Some(control) = control {
        control.run();
    }
    ended
}

impl Shard {
    /// On the shard's own thread: the ring belongs to the thread that makes it.
    fn new(seat: ShardSeat) -> std::io::Result<Self> {
        let ShardSeat {
            index,
            fabric,
            commands,
            shards,
            control_link,
            listener,
            control,
            ..
        } = seat;
        let config = &fabric.config;
        let mut backend = ShardIo::new(fabric.backend, config.data_ring_entries)?;
        let name = |text: &str| Name::new(text).map_err(std::io::Error::other);
        let now = Instant::now();
        let mut timers = Timers::default();
        let sweeper = Sweeper::new(Duration::from_millis(config.idle_timeout_ms), now);
        timers.set(sweeper.next(now), Deadline::Sweep);
        let mut core = Core {
            index,
            names: OwnNames {
                cluster: name(&config.cluster)?,
                node: name(&config.node_name)?,
                session: name(fabric.security.mode().word())?,
            },
            shards,
            control_link,
            control,
            commands,
            intake: Intake::new(&fabric, &mut backend)?,
            io: backend,
            completions: Vec::new(),
            connections: Connections::default(),
            newcomers: Newcomers::default(),
            listener: Some(listener),
            accepting: false,
            requests_due: None,
            control_due: None,
            rate_changes_seen: 0,
            faults: ShardFaults::default(),
            revocations_seen: 0,
            renewals: Renewals::new(now),
            packing: Packing::default(),
            channels: ShardChannels::default(),
            routing: Routing::new(),
            lanes: Vec::new(),
            queues: Vec::new(),
            sending: Sending::new(config.turn_bytes_max),
            dialing: Dialing::new(config),
            reaching: Reaching::default(),
            absences: Absences::default(),
            tasks: TaskRequests::default(),
            timers,
            sweeper,
            now,
            came: now,
            ready_channels: Vec::new(),
            recording: ShardRecording::new(&fabric, index, now),
            drain: None,
            tally: ShardTally::default(),
            fabric: Arc::clone(&fabric),
        };
        core.follow_channels();
        core.adopt_routes();
        Ok(Self {
            core,
            receivers: Receivers::new(fabric),
        })
    }
}
